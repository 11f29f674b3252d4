"""Option that an answer to a multiple-choice question means, by the rules of each benchmark.

Options are lettered A, B, C ... An answer from which no letter can be read is wrong, and counted as unreadable; no rule
here guesses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["LETTERS", "first_letter", "mmbench_letter", "rotations", "scienceqa_letter"]

LETTERS = "ABCDEFGHIJ"

_THE_ANSWER_IS = re.compile(r"The answer is ([A-Z]).")
"""Any letter may follow the option's, since the script of LLaVA does not escape its full stop."""
_TOKEN_MARKS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_LONGEST_WITH_A = 3
"""In an answer of more words than that "A" is an article."""
_LAST_WORDS = 4
"""Among which the letter must stand."""


def scienceqa_letter(answer: str, num_options: int) -> str | None:
    """Letter by ScienceQA's rule: a bare letter, "B. ...", or exactly one "The answer is B." (or "B," and so on)."""
    answer = answer.strip()
    letters = LETTERS[:num_options]
    if answer in letters and len(answer) == 1:
        return answer
    if len(answer) >= 3 and answer[0] in letters and answer[1:3] == ". ":
        return answer[0]
    found = _THE_ANSWER_IS.findall(answer)
    return found[0] if len(found) == 1 and found[0] in letters else None


def first_letter(answer: str, num_options: int) -> str | None:
    """Letter of an answer that equals one: "(B)", "B." and "b" are wrong (SEED-Bench, scored as LLaVA does)."""
    said = answer.strip()
    return said if len(said) == 1 and said in LETTERS[:num_options] else None


def mmbench_letter(answer: str, options: Mapping[str, str]) -> str | None:
    """Letter by MMBench's rule without a language model: a lone letter, else an option's text.

    Args:
        answer: of the model.
        options: text by letter.
    """
    return _lone_letter(answer, options) or _named_option(answer, options)


def rotations(options: Sequence[str]) -> list[list[tuple[str, int]]]:
    """Passes of circular evaluation: the options moved on by one each time, each with its original index.

    A question counts as right only if all passes are (MMBench).
    """
    count = len(options)
    return [
        [(options[(index + shift) % count], (index + shift) % count) for index in range(count)]
        for shift in range(count)
    ]


def _lone_letter(answer: str, options: Mapping[str, str]) -> str | None:
    """The only option letter among the words of an answer, said once or more, if its first place is near the end."""
    words = answer.translate(_TOKEN_MARKS).split()
    found = [letter for letter in options if letter in words]
    if len(found) != 1 or (found == ["A"] and len(words) > _LONGEST_WITH_A):
        return None
    return found[0] if words.index(found[0]) >= len(words) - _LAST_WORDS else None


def _named_option(answer: str, options: Mapping[str, str]) -> str | None:
    """The only option whose text stands in an answer that is not much longer than the options."""
    said = answer.lower()
    if len(said) > 2 * sum(len(text) for text in options.values()):
        return None
    named = [letter for letter, text in options.items() if text and text.lower() in said]
    return named[0] if len(named) == 1 else None
