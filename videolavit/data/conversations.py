"""Conversations in the forms that instruction data comes in: LLaVA's `conversations` and chat `messages`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from videolavit.data.text_files import check_text

__all__ = ["turns"]

_PLACEHOLDER = re.compile(r"\s*<(?:video|image)>\s*")
"""Place of the video in a question. The training stages put it first, as most data does."""
_ASKING, _ANSWERING = ("human", "user"), ("gpt", "assistant", "model", "bot")


def turns(messages: list[Any]) -> Iterator[tuple[str, str]]:
    """Questions and answers of one conversation, in order.

    Raises:
        ValueError: questions and answers do not take turns, or a turn is of neither side, such as a system's.
    """
    if not isinstance(messages, list):
        raise ValueError("a conversation must be a list of turns")
    question: str | None = None
    for message in messages:
        side, text = _turn(message)
        if side in _ASKING and question is None:
            question = _PLACEHOLDER.sub(" ", text).strip()
        elif side in _ANSWERING and question is not None:
            yield question, text.strip()
            question = None
        else:
            raise ValueError(
                f"a turn of {side!r} where one of {'the assistant' if question else 'the user'} was expected; "
                "questions and answers take turns"
            )
    if question is not None:
        raise ValueError(f"the last question has no answer: {question[:60]!r}")


def _turn(message: Any) -> tuple[str, str]:
    if not isinstance(message, dict):
        raise ValueError(f"a turn is a {type(message).__name__}, expected an object with from and value")
    side, text = message.get("from", message.get("role")), message.get("value", message.get("content"))
    if not isinstance(side, str):
        raise ValueError("a turn does not say who speaks; expected from and value, or role and content")
    return side.lower(), check_text(text)
