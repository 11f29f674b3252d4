"""Yes or no, read from an answer, and the scores that MME computes from pairs of them.

Each image has two questions, one whose answer is yes and one whose answer is no. A subtask scores acc + acc+, at most
200: the share of questions right, and the share of images with both right, each x 100.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["COGNITION", "PERCEPTION", "mme_score", "yes_or_no"]

PERCEPTION = (
    *("existence", "count", "position", "color", "posters"),
    *("celebrity", "scene", "landmark", "artwork", "OCR"),
)
"""Subtasks of MME whose scores add up to at most 2 000; the number that papers report first."""
COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")
"""Subtasks of MME whose scores add up to at most 800."""

_PREFIX = 4
"""Letters of an answer that MME's script looks at where the whole of it is neither word."""


def yes_or_no(answer: str) -> str | None:
    """ "yes" or "no" from the whole answer or from its first four characters; None for anything else."""
    said = answer.strip().lower()
    if said in ("yes", "no"):
        return said
    beginning = said[:_PREFIX]
    return next((word for word in ("yes", "no") if word in beginning), None)


def mme_score(pairs: Sequence[tuple[bool, bool]]) -> float:
    """Score of one subtask, 0 to 200, from whether the two answers on each image are right."""
    if not pairs:
        raise ValueError("got no images, expected at least one")
    right = sum(one + other for one, other in pairs) / (2 * len(pairs))
    both = sum(one and other for one, other in pairs) / len(pairs)
    return 100 * (right + both)
