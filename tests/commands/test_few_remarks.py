"""Remarks about prompts of a command that asks thousands of them."""

from __future__ import annotations

import logging

import pytest

from videolavit.commands._shared import few_remarks
from videolavit.language.unknown_words import SPEAKERS
from videolavit.pipeline import answering


@pytest.fixture
def installed(monkeypatch):
    fresh = few_remarks._Few()
    monkeypatch.setattr(few_remarks, "_FEW", fresh)
    few_remarks.few_remarks()
    few_remarks.few_remarks()
    yield
    for name in SPEAKERS:
        logging.getLogger(name).removeFilter(fresh)


def test_the_first_of_each_place_are_told_and_the_last_of_them_says_that_others_follow(installed, caplog):
    for number in range(10):
        answering.logger.warning("50 %% of %r", number)
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
