"""Remarks of the library about single requests, as a server logs them: no words of a client, and the rest once.

On the command line a remark is for whoever gave the prompt. A server's log is read by others, and a line for each
request takes its time from the thread that all requests share. So what the library says on that thread is thinned out;
what it says elsewhere, for another use of it in the same program, stays as it is.
"""

from __future__ import annotations

import logging

from videolavit.language.unknown_words import SPEAKERS
from videolavit.server.engine import THREAD

__all__ = ["quiet_remarks"]


class _Quiet(logging.Filter):
    """Of the engine's thread, the first warning of each place in the code, and none that holds words of a prompt."""

    def __init__(self) -> None:
        super().__init__()
        self._told: set[tuple[str, int]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """True if the record is to be logged."""
        if record.threadName != THREAD or record.levelno > logging.WARNING:
            return True
        place = record.pathname, record.lineno
        if getattr(record, "of_a_prompt", False) or place in self._told:
            return False
        self._told.add(place)
        return True


_QUIET = _Quiet()


def quiet_remarks() -> None:
    """Thin out, from now on, what the library says of single requests on the thread of an engine."""
    for name in SPEAKERS:
        logging.getLogger(name).addFilter(_QUIET)  # once, however often this is called
