"""Remarks about prompts where a command asks thousands of them: a few, and not a line for each."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["few_remarks"]

_SHOWN = 3
"""Remarks of each kind that are shown in a process."""


class _Few(logging.Filter):
    """The first remarks of each place in the code; the last of them says that others follow."""

    def __init__(self) -> None:
        super().__init__()
        self._told: Counter[tuple[str, int]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """True if the record is to be logged."""
        place = record.pathname, record.lineno
        self._told[place] += 1
        if self._told[place] == _SHOWN:
            record.msg, record.args = f"{record.getMessage()} (more of this kind are not shown)", ()
        return self._told[place] <= _SHOWN


_FEW = _Few()


@contextmanager
def few_remarks() -> Iterator[None]:
    """While it is open, a few remarks about prompts are shown; those of an earlier time in this process count."""
    from videolavit.language.unknown_words import SPEAKERS

    speakers = [logging.getLogger(name) for name in SPEAKERS]
    for speaker in speakers:
        speaker.addFilter(_FEW)
    try:
        yield
    finally:
        for speaker in speakers:
            speaker.removeFilter(_FEW)
