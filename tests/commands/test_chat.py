"""`videolavit chat`: with a person at a terminal, and with lines from elsewhere."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest
from commands.fake_model import NOISE
from PIL import Image

from videolavit import cli
from videolavit.errors import MediaError, PromptError
from videolavit.video.io.write import write_video


@pytest.fixture
def say(model, tmp_path, monkeypatch):
    """Give a chat these lines on a stdin that is no terminal, and get its exit code."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(NOISE[0]).save("a.png")
    write_video(NOISE[:3], "v.mp4")

    def chat(*lines: str, options: tuple[str, ...] = ()) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))
        return cli.main(["chat", *options])

    return chat


def test_every_line_is_answered_and_nothing_else_is_said(say, capsys):
    assert say("why", "", "how", "/quit", "never") == 0
    said = capsys.readouterr()
    assert said.out == "WHY!\nHOW!\n"
    assert said.err == ""


def test_what_was_said_stays_in_mind_until_it_is_to_be_forgotten(say, model):
    assert say("one", "two", "/new", "three") == 0
    first, second, third = (options["history"] for _, _, options in model.calls)
    assert (first, second.text, third) == (None, "ONE!", None)


def test_files_are_shown_once_with_the_next_question(say, model):
    assert say("v.mp4", "why", "how a.png", "what", options=("a.png",)) == 0
    shown = [(options["image"], options["video"]) for _, _, options in model.calls]
    assert shown == [(["a.png"], ["v.mp4"]), (["a.png"], None), (None, None)]


def test_what_goes_wrong_is_told_and_the_conversation_goes_on(say, model, capsys):
    assert say("gone.png what", "why") == 1
    said = capsys.readouterr()
    assert said.out == "WHY!\n"
    assert said.err == "videolavit: error: gone.png: no such file; quote a name that has spaces\n"


def test_lines_that_are_no_text_spoil_themselves_alone(say, monkeypatch, capsys):
    lines = io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfwhy\nSt\xfcck\r\nhow\n"), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", lines)
    assert cli.main(["chat"]) == 0
    assert capsys.readouterr().out == "WHY!\nST\\XFCCK!\nHOW!\n"


def test_what_was_shown_is_still_there_after_an_error(say, model):
    questions = []

    def fail_once(stage: str, done: int, total: int) -> None:
        questions.append(stage)
        if len(questions) == 1:
            raise PromptError("too long")

    model.steps = fail_once
    assert say("a.png why", "how") == 1
    [(_, _, options)] = model.calls
    assert options["image"] == ["a.png"]


def test_answers_as_json_are_lines(say, capsys):
    assert say("why", "how", options=("--json",)) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["question"], one["answer"], one["seconds"]) for one in answers] == [
        ("why", "WHY!", 0.5),
        ("how", "HOW!", 0.5),
    ]


def test_a_file_of_the_command_line_that_is_not_there_is_told(say, capsys):
    assert say("why", options=("gone.png",)) == 1
    assert "gone.png: no such file" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_does_not_spoil_further_questions(say, model):
    asked = []

    def fail_once(stage: str, done: int, total: int) -> None:
        asked.append(stage)
        if len(asked) == 1:
            raise MediaError("a.png: is damaged")

    model.steps = fail_once
    assert say("a.png why", "how") == 1
    [(_, _, options)] = model.calls
    assert options["image"] is None


PROGRAM = """
import signal, sys, time
from types import SimpleNamespace
from videolavit.commands import chat

class Stream:
    answer = SimpleNamespace(text="slow", question="", seconds=0.0, moments=())
    def __iter__(self):
        for i in range(1000):
            yield f"word{i} "
            if not quick:
                time.sleep(0.05)

class Model:
    def stream_answer(self, question, **options):
        global quick
        quick = question != "slowly"
        return Stream()

chat.open_model = lambda options: Model()
from videolavit.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where whoever runs the tests ignores it
sys.exit(main(["chat"]))
"""


class Terminal:
    """A person's side of a terminal."""

    def __init__(self, ours: int) -> None:
        self.ours, self.shown = ours, ""
        os.set_blocking(ours, False)

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def read_until(self, words: str, seconds: float = 60) -> str:
        """What it shows up to some words; the rest is kept for the next time."""
        deadline = time.monotonic() + seconds
        while words not in self.shown:
            assert time.monotonic() < deadline, f"expected {words!r}, saw {self.shown!r}"
            try:
                self.shown += os.read(self.ours, 4096).decode()
            except BlockingIOError:
                time.sleep(0.01)
        before, _, self.shown = self.shown.partition(words)
        return before


def test_at_a_terminal_ctrl_c_stops_an_answer_and_ctrl_d_leaves():
    ours, theirs = pty.openpty()
    terminal = Terminal(ours)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        assert "/help" in terminal.read_until("> ")
        terminal.type("slowly\n")
        terminal.read_until("word3 ")
        process.send_signal(signal.SIGINT)
        assert "word999" not in terminal.read_until("(stopped)")
        terminal.read_until("> ")
        process.send_signal(signal.SIGINT)
        terminal.read_until("(Ctrl-D leaves)")
        terminal.read_until("> ")
        terminal.type("quickly\n")
        terminal.read_until("word999")
        terminal.read_until("> ")
        terminal.type("\x04")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
