"""`videolavit evaluate shapes`, with a model that has nothing but a motion tokenizer, and with none at all."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from command_line import videolavit

from videolavit import cli
from videolavit.checkpoints.native import write_native
from videolavit.checkpoints.registry import live_component
from videolavit.commands import evaluate
from videolavit.evaluation.benchmarks.shapes import task_names
from videolavit.settings import ModelSettings
from videolavit.tokenizers.motion_tokenizer import MotionTokenizer, MotionTokenizerConfig
from videolavit.vocabulary import Vocabulary

CONFIG = MotionTokenizerConfig(
    rows=16,
    cols=16,
    patch=(2, 4, 4),
    strides=((2, 1, 1), (2, 1, 1)),
    blocks=(1, 1),
    width=16,
    heads=2,
    num_codes=8,
    code_dim=4,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in the making."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("unfinished")
    part = live_component("motion_tokenizer", MotionTokenizer(CONFIG))
    write_native(folder, Vocabulary(num_visual_codes=8, num_motion_codes=8), [part], {}, ModelSettings())
    return folder


def evaluated(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command line in this process."""
    code = cli.main([str(word) for word in ("evaluate", "shapes", "--model", folder, *arguments)])
    written = capsys.readouterr()
    return code, written.out, written.err


def test_what_can_be_measured_is_measured_and_the_rest_is_named(capsys, folder, tmp_path):
    results, page = tmp_path / "results.jsonl", tmp_path / "results.md"
    options = ["--samples", "3", "--results", results, "--json"]
    code, written, _ = evaluated(capsys, folder, *options, "--markdown", page, "--note", "not at all")
    assert code == 0
    document = json.loads(written)
    assert list(document["tasks"]) == ["motion_tokenizer"]
    assert document["skipped"]["ids_per_second"] == "the model has no visual_tokenizer"
    error = document["tasks"]["motion_tokenizer"]["measures"]["endpoint error, px"]
    assert error["low"] <= error["value"] <= error["high"]
    text = page.read_text()
    assert f"- command: `videolavit evaluate shapes --limit 3 --seed 0 --model {folder}`" in text
    assert "- training: not at all" in text
    assert "the model has no language_model" in text
    lines = results.read_text()
    code, written, _ = evaluated(capsys, folder, *options, "--tasks", "motion_tokenizer")
    assert code == 0
    assert json.loads(written)["tasks"] == document["tasks"]
    assert results.read_text() == lines, "nothing is measured twice"


def test_a_run_of_limited_time_reports_what_is_there_and_goes_on(capsys, folder, tmp_path):
    options = ["--tasks", "motion_tokenizer", "--samples", "25", "--results", tmp_path / "results.jsonl", "--json"]

    def measured(*more: str) -> int:
        code, written, _ = evaluated(capsys, folder, *options, *more)
        assert code == 0
        return json.loads(written)["tasks"]["motion_tokenizer"]["samples"]

    code, written, _ = evaluated(capsys, folder, *options, "--minutes", "0")
    assert code == 0
    assert json.loads(written)["skipped"] == {"motion_tokenizer": "not begun yet"}
    assert measured("--minutes", "0.0001") == 20, "one batch"
    assert measured("--minutes", "0") == 20
    assert measured() == 25


def test_a_run_that_ends_early_says_that_there_is_no_record(capsys, folder, tmp_path):
    record = tmp_path / "record.jsonl"
    options = ["--tasks", "motion_tokenizer", "--samples", "3", "--minutes", "0", "-o", record]
    code, _, told = evaluated(capsys, folder, *options)
    assert (code, record.exists()) == (0, False)
    assert "no record yet: 3 samples are still to be measured" in told


def test_a_finished_record_stays_as_it_is_with_what_a_judge_said(capsys, folder, tmp_path):
    record, page = tmp_path / "record.jsonl", tmp_path / "page.md"
    options = ["--limit", "3", "--tasks", "motion_tokenizer", "-o", record]
    assert evaluated(capsys, folder, *options)[0] == 0
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    lines[0]["judge"], lines[-1]["seconds"] = {"model": "somebody"}, 600
    record.write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = record.read_text()
    code, shown, _ = evaluated(capsys, folder, *options, "--markdown", page)
    assert code == 0
    assert "motion_tokenizer" in shown
    assert "evaluation took: 10 min of one process" in page.read_text()
    assert record.read_text() == before


def test_a_named_task_that_cannot_be_done_fails(capsys, folder, tmp_path):
    options = ["--samples", "1", "--results", tmp_path / "r.jsonl", "--tasks", "text_to_video"]
    code, written, _ = evaluated(capsys, folder, *options)
    assert code == 1
    assert "text_to_video: not measured: the model has no language_model" in written


@pytest.mark.slow
def test_two_processes_find_what_one_finds(folder, tmp_path):
    documents = []
    for workers in ("1", "2"):
        options = ["--samples", "21", "--tasks", "motion_tokenizer", "--workers", workers, "--json"]
        results = tmp_path / f"{workers}.jsonl"
        answer = videolavit("evaluate", "shapes", "--model", folder, *options, "--results", results)
        assert answer.returncode == 0, answer.stderr
        documents.append(json.loads(answer.stdout)["tasks"]["motion_tokenizer"]["measures"])
    assert documents[0] == documents[1]


@pytest.mark.slow
def test_an_interrupted_run_keeps_what_it_has_and_goes_on(folder, tmp_path):
    results = tmp_path / "results.jsonl"
    command = [sys.executable, "-m", "videolavit", "evaluate", "shapes", "--model", str(folder), "--samples", "9999"]
    command += ["--tasks", "motion_tokenizer", "--results", str(results)]
    # A background job of a shell, which the tests may be, ignores Ctrl-C; so would what it starts.
    heeding = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heeding)
    while process.poll() is None and not results.exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    kept = len(results.read_text().splitlines())
    assert 0 < kept < 9999
    answer = videolavit(*command[3:-6], "--samples", str(kept), *command[-4:])
    assert answer.returncode == 0
    assert len(results.read_text().splitlines()) == kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "text_to_vido"], "got the tasks text_to_vido"),
        (["--samples", "0"], "got --limit 0, expected at least 1"),
        (["--workers", "0"], "--workers 0"),
        (["--minutes", "-1"], "--minutes -1"),
        (["--videos", "nowhere"], "no such folder"),
    ],
    ids=["task", "samples", "workers", "minutes", "videos"],
)
def test_bad_options_are_refused(capsys, folder, tmp_path, arguments, message):
    results = tmp_path / "results.jsonl"
    code, _, said = evaluated(capsys, folder, *arguments, "--results", results)
    assert code == 2
    assert message in said
    assert len(said.splitlines()) == 1
    assert not results.exists()


def test_outcomes_and_their_vectors_go_when_a_record_holds_them(tmp_path):
    def removed(todo: list[int], **options: Path) -> list[str]:
        runner: Any = SimpleNamespace(pending=lambda: todo)
        evaluate._remove_outcomes(evaluate.Config(name="msrvtt", output=tmp_path / "a.jsonl", **options), runner)
        return sorted(path.name for path in tmp_path.iterdir())

    (tmp_path / "a.outcomes.jsonl").write_text("")
    for name in ("a.features", "a.outcomes.features"):
        (tmp_path / name / "msrvtt").mkdir(parents=True)
    everything = ["a.features", "a.outcomes.features", "a.outcomes.jsonl"]
    assert removed([1]) == everything, "something is still to be measured"
    assert removed([], results=tmp_path / "a.outcomes.jsonl") == everything, "a file that was named is the user's"
    assert removed([]) == ["a.features"], "the vectors of the record stay"


def test_the_command_of_a_page_measures_the_same_again():
    config = evaluate.Config(name="things", variant="64", networks=("i3d=a.pt",), data=Path("things.npz"), seed=2)
    assert evaluate._command(config) == (
        "videolavit evaluate things --seed 2 --data things.npz --variant 64 --networks i3d=a.pt"
    )


def test_a_page_that_cannot_be_written_is_refused_before_any_work(capsys, folder, tmp_path):
    options = ["--samples", "1", "--results", tmp_path / "r.jsonl"]
    for page in (tmp_path / "gone" / "results.md", tmp_path / "results.docx"):
        code, _, said = evaluated(capsys, folder, *options, "--markdown", page)
        assert code == 1
        assert page.name in said or "gone" in said
    assert not (tmp_path / "r.jsonl").exists()


def test_the_help_names_every_task():
    assert all(name in (evaluate.__doc__ or "") for name in task_names(videos=True))
