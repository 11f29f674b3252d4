"""Words that number parts of a video."""

from __future__ import annotations

__all__ = ["ordinal"]

_WORDS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh",
    "twelfth",
)  # fmt: skip


def ordinal(number: int) -> str:
    """The ordinal of a number from 1 on: a word up to the twelfth, then "13th"."""
    if number <= len(_WORDS):
        return _WORDS[number - 1]
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
