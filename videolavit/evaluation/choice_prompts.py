"""Prompts of multiple-choice questions, as LLaVA-1.5 words them."""

from __future__ import annotations

from collections.abc import Sequence

from videolavit.evaluation.metrics.choices import LETTERS

__all__ = ["CHOICE", "choice_prompt"]

_INSTRUCTION = "Answer with the option's letter from the given choices directly."
CHOICE = f"{{question}}\nA. {{option}}\nB. {{option}}\n...\n{_INSTRUCTION}"
"""Form of the prompt, for records."""


def choice_prompt(question: str, options: Sequence[str], *, before: str = "") -> str:
    """Question, lettered options on a line each, and the request for a letter; `before` is a line ahead of it."""
    lines = [before] if before else []
    lines += [
        question,
        *(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)),
        _INSTRUCTION,
    ]
    return "\n".join(lines)
