"""Judges: what they may reply, what that is worth, and what happens when they do not."""

import json
import logging
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from videolavit.errors import ConfigError, OutputError
from videolavit.evaluation.benchmark import Outcome
from videolavit.evaluation.judges import open_judge
from videolavit.evaluation.judges.agreement import agreement, cohens_kappa, read_known
from videolavit.evaluation.judges.grading import ACCURACY, MALFORMED, MISSING, SCORE, Verdicts, grade, without_grades
from videolavit.evaluation.judges.interface import JudgeError
from videolavit.evaluation.judges.protocols import PROTOCOLS, Verdict, find_protocol
from videolavit.evaluation.judges.server import ServerJudge

VIDEO_QA = PROTOCOLS["video-qa"]


@pytest.mark.parametrize(
    ("reply", "right", "score"),
    [
        ("{'pred': 'yes', 'score': 4}", True, 4),
        ("{'pred': 'no', 'score': 0}", False, 0),
        ("{'pred': 'Yes', 'score': 4.8}", True, 4),
        ("Sure: {'pred': 'no', 'score': '2'} I hope that helps.", False, 2),
    ],
)
def test_replies_of_the_form_are_read(reply, right, score):
    assert VIDEO_QA.parse(reply) == Verdict(right=right, score=float(score))


STRANGE = (
    *("", "yes", "{'pred': 'maybe', 'score': 3}", "{'pred': 'yes'}", "{'pred': 'yes', 'score': 9}", "{'pred': 'yes', "),
    *("{'pred': 'yes', 'score': nan}", "{'pred': __import__('os'), 'score': 1}", "{" * 5000),
    "{'pred': 'yes', 'score': []}",
    "{'pred': 'yes', [1]: 2}",
    "{'pred': 'yes', 'score': 1" + "0" * 400 + "}",
)


@pytest.mark.parametrize("reply", STRANGE)
def test_other_replies_are_malformed(reply):
    assert VIDEO_QA.parse(reply) == Verdict(malformed=True)


def test_mm_vet_takes_a_number():
    protocol = find_protocol("mm-vet")
    assert [protocol.parse(text).score for text in ("0.5", " 1.0 ", "0")] == [0.5, 1.0, 0.0]
    assert all(protocol.parse(text).malformed for text in ("1.5", "about 0.5", "", "-1", "half"))
    with pytest.raises(ConfigError, match="known are video-qa, mm-vet"):
        find_protocol("vibes")


class ScriptedJudge:
    """Replies by the answer that it is shown."""

    workers = 2

    def __init__(self, replies: dict[str, str]) -> None:
        self.replies, self.asked = replies, 0

    def identity(self):
        return {"kind": "scripted"}

    def reply(self, protocol, prompt):
        self.asked += 1
        for answer, reply in self.replies.items():
            if f"Predicted answer: {answer}\n" in prompt:
                return reply
        raise JudgeError("no reply")


def outcome(answer, failure=""):
    said = {"prompt": "What moves?", "truth": "a dog", "answer": answer}
    return Outcome(id=answer, values={"exact match": False}, said=said, failure=failure)


REPLIES = {"dog": "{'pred': 'yes', 'score': 5}", "cat": "{'pred': 'no', 'score': 1}", "odd": "I like it"}


def test_verdicts_become_values_and_what_is_not_one_is_counted(caplog):
    caplog.set_level(logging.WARNING)
    outcomes = {n: outcome(answer) for n, answer in enumerate(["dog", "cat", "odd", "lost"])}
    outcomes[4] = outcome("dog", failure="no such file")
    judge = ScriptedJudge(REPLIES)
    found = grade(outcomes, judge, VIDEO_QA, Verdicts())
    assert [one.values.get(ACCURACY) for one in found.values()] == [True, False, None, None, False]
    assert [one.values.get(SCORE) for one in found.values()] == [5, 1, None, None, 0]
    assert [one.values[MALFORMED] for one in found.values()] == [False, False, True, False, False]
    assert [one.values[MISSING] for one in found.values()] == [False, False, False, True, False]
    assert judge.asked == 4  # the malformed one once, the failed one never
    assert "1 of 4 verdicts did not come; of the first: no reply" in caplog.text
    assert found[0].said["judge"] == REPLIES["dog"]
    assert without_grades(found[0]).values == outcomes[0].values


def test_verdicts_are_kept_and_found_again(tmp_path):
    path = tmp_path / "verdicts.jsonl"
    outcomes = {n: outcome(answer) for n, answer in enumerate(["dog", "cat", "dog", "odd"])}
    first = ScriptedJudge(REPLIES)
    found = grade(outcomes, first, VIDEO_QA, Verdicts(path))
    assert first.asked == 3
    path.write_text(path.read_text()[:-5])  # killed in the middle of a line
    second = ScriptedJudge(REPLIES)
    again = grade(outcomes, second, VIDEO_QA, Verdicts(path))
    assert second.asked == 1
    assert [one.values for one in again.values()] == [one.values for one in found.values()]
    assert len(path.read_text().splitlines()) == 3
    for text in ("buy milk\n", "buy milk"):
        path.write_text(text)
        with pytest.raises(OutputError, match="line 1: is no verdict"):
            Verdicts(path)
        assert path.read_text() == text
    path.write_bytes(b"\xff")
    with pytest.raises(OutputError, match="verdicts cannot be read"):
        Verdicts(path)


class Server(BaseHTTPRequestHandler):
    """Says what its server's script says, one entry for each request."""

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.requests.append(json.loads(self.rfile.read(length)))  # type: ignore[attr-defined]
        status, body = self.server.script.pop(0)  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    found = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    found.script, found.requests = [], []  # type: ignore[attr-defined]
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()


def judge_at(server, **options):
    return ServerJudge(f"http://127.0.0.1:{server.server_port}/v1", "a-model", wait=0.01, **options)


def spoken(text):
    return 200, json.dumps({"choices": [{"message": {"content": text}}]})


def test_a_server_is_asked_greedily(server):
    server.script = [spoken(REPLIES["dog"])]
    assert judge_at(server).reply(VIDEO_QA, "Is it?") == REPLIES["dog"]
    [asked] = server.requests
    assert (asked["model"], asked["temperature"]) == ("a-model", 0)
    assert [message["role"] for message in asked["messages"]] == ["system", "user"]
    assert asked["messages"][1]["content"] == "Is it?"


def test_a_busy_server_is_asked_again_and_a_strange_reply_is_not(server):
    server.script = [(429, ""), (503, ""), spoken("nonsense")]
    assert judge_at(server).reply(VIDEO_QA, "Is it?") == "nonsense"
    assert len(server.requests) == 3


def test_a_server_that_stays_busy_or_refuses_gives_no_reply(server):
    server.script = [(429, "")] * 4
    with pytest.raises(JudgeError, match="no reply after 4 tries: status 429"):
        judge_at(server).reply(VIDEO_QA, "Is it?")
    server.script = [(401, "")]
    with pytest.raises(JudgeError, match="status 401"):
        judge_at(server).reply(VIDEO_QA, "Is it?")
    server.script = [(200, "{}"), (200, "<html>")]
    for _ in range(2):
        with pytest.raises(JudgeError, match="not of the OpenAI form"):
            judge_at(server).reply(VIDEO_QA, "Is it?")


def test_a_connection_that_breaks_while_a_reply_is_read_is_tried_again(monkeypatch):
    tries = []

    def broken(*_, **__):
        tries.append(1)
        raise ssl.SSLError("record layer failure")

    monkeypatch.setattr("urllib.request.urlopen", broken)
    with pytest.raises(JudgeError, match=r"no reply after 2 tries: .*record layer failure"):
        ServerJudge("https://127.0.0.1:9/v1", "a-model", tries=2, wait=0.01).reply(VIDEO_QA, "Is it?")
    assert len(tries) == 2


def test_a_server_that_is_silent_or_gone_gives_no_reply():
    with pytest.raises(JudgeError, match="no reply after 2 tries"):
        ServerJudge("http://127.0.0.1:9/v1", "a-model", tries=2, wait=0.01).reply(VIDEO_QA, "Is it?")
    with pytest.raises(ConfigError, match="--judge-model"):
        open_judge("http://127.0.0.1:9/v1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shipped_model) -> Path:
    """A small Llama with random weights and the shipped tokenizer of words."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("judge")
    tokenizer = AutoTokenizer.from_pretrained(shipped_model / "language_model.tokenizer")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_local_judge_cannot_leave_the_form(folder):
    judge = open_judge(str(folder))
    for protocol in PROTOCOLS.values():
        replies = {
            judge.reply(protocol, protocol.prompt("What moves?", "a dog", answer)) for answer in ("dog", "x" * 9)
        }
        assert not any(protocol.parse(reply).malformed for reply in replies)
    prompt = VIDEO_QA.prompt("What moves?", "a dog", "a cat")
    assert judge.reply(VIDEO_QA, prompt) == open_judge(str(folder)).reply(VIDEO_QA, prompt)
    assert len(judge.identity()["sha256"]) == 64
    with pytest.raises(ConfigError, match="device=nowhere: cannot be used here"):
        open_judge(str(folder), device="nowhere").reply(VIDEO_QA, prompt)


def test_another_judge_has_another_identity(folder, tmp_path):
    import shutil

    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    assert open_judge(str(copy)).identity() == open_judge(str(folder)).identity()
    (copy / "config.json").write_text((copy / "config.json").read_text() + "\n")
    changed = open_judge(str(copy)).identity()
    assert changed != open_judge(str(folder)).identity()
    (copy / "pytorch_model.bin").write_bytes(b"weights of another form")
    assert open_judge(str(copy)).identity() != changed
    with pytest.raises(ConfigError, match="holds no transformers model"):
        open_judge(str(tmp_path))


def test_agreement_with_known_verdicts(tmp_path):
    path = tmp_path / "known.jsonl"
    known = [("dog", True, 5), ("cat", True, 4), ("cat", False, 1), ("odd", True, 3), ("lost", True, 3)]
    lines = [
        {"question": "What?", "truth": "dog", "answer": answer, "right": right, "score": score}
        for answer, right, score in known
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    found = agreement(ScriptedJudge(REPLIES), VIDEO_QA, read_known(path))
    assert (found.n, found.malformed, found.missing) == (3, 1, 1)
    assert found.agreement == pytest.approx(2 / 3)
    assert (
        found.kappa == pytest.approx(cohens_kappa([(True, True), (True, False), (False, False)])) == pytest.approx(0.4)
    )
    assert cohens_kappa([(True, True)] * 3) == 1
    assert cohens_kappa([(True, True), (True, False), (False, True), (False, False)]) == 0
    for wrong in ("no", 0, "false"):
        path.write_text(json.dumps({"question": "What?", "truth": "dog", "answer": "cat", "right": wrong}))
        with pytest.raises(ConfigError, match="right \\(true or false\\)"):
            read_known(path)
    path.write_text('{"question": "What?"}\n')
    with pytest.raises(ConfigError, match="line 1: expected question"):
        read_known(path)
