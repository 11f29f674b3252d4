"""Grading protocols: the prompt of a judge, the replies that it may give, and what a reply is worth.

`video-qa` asks what Video-ChatGPT asks: whether a predicted answer matches the correct one, yes or no, and how well, 0
to 5. `mm-vet` asks what MM-Vet asks: how correct an answer is, 0.0 to 1.0, with examples. The words are our own, and
their digest stands in the record; numbers of another wording or another judge are other numbers.
"""

from __future__ import annotations

import ast
import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from videolavit.errors import ConfigError

__all__ = ["PROTOCOLS", "GradingProtocol", "Verdict", "find_protocol"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Verdict of a reply."""

    right: bool | None = None
    """None where the protocol asks for no yes or no, or the reply has neither."""
    score: float | None = None
    malformed: bool = False
    """A reply outside the form; it counts as no verdict and is never asked for again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GradingProtocol:
    """One way of grading."""

    name: str
    system: str
    user: str
    """Template with `{question}`, `{truth}` and `{answer}`."""
    slots: tuple[tuple[str, tuple[str, ...]], ...]
    """Form of a reply: text, and the words of which one follows it, in order; a grammar with one path of choices."""
    ending: str

    @property
    def digest(self) -> str:
        """SHA-256 of the words of the prompt."""
        return hashlib.sha256(f"{self.system}\0{self.user}".encode()).hexdigest()

    def prompt(self, question: str, truth: str, answer: str) -> str:
        """User text for one answer."""
        return self.user.format(question=question, truth=truth, answer=answer)

    def parse(self, reply: str) -> Verdict:
        """Verdict of a reply; malformed if it is not of the form."""
        return _PARSERS[self.name](reply)


def find_protocol(name: str) -> GradingProtocol:
    """A protocol by name.

    Raises:
        ConfigError: there is none.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"got the grading protocol {name!r}; known are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


_VIDEO_QA = GradingProtocol(
    name="video-qa",
    system=(
        "You grade answers to questions about videos. Compare a predicted answer with the correct one and decide "
        "whether they mean the same. Synonyms and paraphrases count as matches."
    ),
    user=(
        "Question: {question}\nCorrect answer: {truth}\nPredicted answer: {answer}\n\n"
        "Does the predicted answer match the correct one, yes or no? How well, as an integer from 0 to 5, where 5 is "
        "the best match? Reply with nothing but a Python dictionary of the keys pred and score, such as "
        "{{'pred': 'yes', 'score': 4}}."
    ),
    slots=(("{'pred': '", ("yes", "no")), ("', 'score': ", tuple("012345"))),
    ending="}",
)

_MM_VET = GradingProtocol(
    name="mm-vet",
    system="You grade answers to questions about images.",
    user=(
        "Compare the prediction with the ground truth and say how correct it is, from 0.0 (wrong) to 1.0 (right). "
        "<AND> joins parts that are all needed, <OR> joins truths of which one is enough.\n\n"
        "Question | Ground truth | Prediction | Correctness\n"
        "How many birds are there? | 3 | three of them | 1.0\n"
        "How many birds are there? | 3 | 4 | 0.0\n"
        "Which animals are in the image? | cat <AND> dog | a cat and a dog | 1.0\n"
        "Which animals are in the image? | cat <AND> dog | a cat | 0.5\n"
        "What does the sign say? | stop <OR> stop sign | STOP | 1.0\n"
        "{question} | {truth} | {answer} | "
    ),
    slots=(("", tuple(f"{tenth / 10:.1f}" for tenth in range(11))),),
    ending="",
)

PROTOCOLS: Mapping[str, GradingProtocol] = {one.name: one for one in (_VIDEO_QA, _MM_VET)}
"""By name."""

_DICTIONARY = re.compile(r"\{[^{}]*\}")
_NUMBER = re.compile(r"[01](?:\.\d+)?")


def _parse_video_qa(reply: str) -> Verdict:
    """The first dictionary of a reply, read as Python does without running anything."""
    found = _DICTIONARY.search(reply)
    try:
        values = ast.literal_eval(found.group()) if found else None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        values = None
    if not isinstance(values, dict) or "pred" not in values or "score" not in values:
        return Verdict(malformed=True)
    said, score = str(values["pred"]).lower(), _number(values["score"])
    right = True if "yes" in said else False if "no" in said else None
    if right is None or score is None or not 0 <= score <= 5:
        return Verdict(malformed=True)
    return Verdict(right=right, score=float(int(score)))


def _parse_mm_vet(reply: str) -> Verdict:
    text = reply.strip()
    if not _NUMBER.fullmatch(text) or float(text) > 1:
        return Verdict(malformed=True)
    return Verdict(score=float(text))


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


_PARSERS = {"video-qa": _parse_video_qa, "mm-vet": _parse_mm_vet}
