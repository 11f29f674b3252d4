"""Log of a server: no words of its clients, and each remark of the library about a request once."""

from __future__ import annotations

import logging
import threading

import pytest

from videolavit.language.unknown_words import OF_A_PROMPT
from videolavit.server import quiet_log
from videolavit.server.engine import THREAD

SPEAKER = "videolavit.pipeline.answering"


@pytest.fixture(autouse=True)
def nothing_told_yet(monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(quiet_log._QUIET, "_told", set())
    quiet_log.quiet_remarks()
    quiet_log.quiet_remarks()


def say(thread: str, times: int = 1, **options) -> None:
    def work():
        for number in range(times):
            logging.getLogger(SPEAKER).warning("remark %d", number, **options)

    speaking = threading.Thread(target=work, name=thread)
    speaking.start()
    speaking.join()


def test_a_remark_is_made_once_on_the_engine_s_thread_and_always_elsewhere(caplog):
    say(THREAD, times=3)
    assert [record.getMessage() for record in caplog.records] == ["remark 0"]
    caplog.clear()
    say("another", times=3)
    assert len(caplog.records) == 3


def test_words_of_a_prompt_are_not_logged_by_the_engine(caplog):
    say(THREAD, extra=OF_A_PROMPT)
    assert caplog.records == []
    say("another", extra=OF_A_PROMPT)
    assert len(caplog.records) == 1


def test_errors_are_always_logged(caplog):
    def fail():
        for _ in range(2):
            logging.getLogger(SPEAKER).error("broken")

    failing = threading.Thread(target=fail, name=THREAD)
    failing.start()
    failing.join()
    assert len(caplog.records) == 2
