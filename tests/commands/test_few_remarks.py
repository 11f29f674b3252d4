"""Remarks about prompts of a command that asks thousands of them."""

from __future__ import annotations

import logging

import pytest

from videolavit.commands._shared import few_remarks
from videolavit.language.unknown_words import SPEAKERS
from videolavit.pipeline import answering


@pytest.fixture(autouse=True)
def nothing_told_yet(monkeypatch):
    monkeypatch.setattr(few_remarks, "_FEW", few_remarks._Few())


def test_the_first_of_each_place_are_told_and_the_last_of_them_says_that_others_follow(caplog):
    for number in range(10):
        with few_remarks.few_remarks():  # as often as the work comes in parts
            answering.logger.warning("50 %% of %r", number)
    with few_remarks.few_remarks():
        answering.logger.warning("another place")
        logging.getLogger("videolavit.other").warning("somebody else")
        logging.getLogger("videolavit.other").warning("somebody else")
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "50 % of 0",
        "50 % of 1",
        "50 % of 2 (more of this kind are not shown)",
        "another place",
        "somebody else",
        "somebody else",
    ]


def test_afterwards_every_remark_is_told_again(caplog):
    before = [list(logging.getLogger(name).filters) for name in SPEAKERS]

    @few_remarks.few_remarks()
    def fail():
        for number in range(5):
            answering.logger.warning("within %d", number)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert len(caplog.records) == 3
    caplog.clear()
    for number in range(5):
        answering.logger.warning("after %d", number)
    assert len(caplog.records) == 5
    assert [list(logging.getLogger(name).filters) for name in SPEAKERS] == before
