"""Yes or no, read from an answer, and the subtasks of MME.

Each image has two questions, one whose answer is yes and one whose answer is no. A subtask scores acc + acc+, at most
200: the share of questions right, and the share of images with both right, each x 100.
"""

from __future__ import annotations

__all__ = ["COGNITION", "PERCEPTION", "yes_or_no"]

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
