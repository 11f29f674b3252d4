"""Conversations as transformers and OpenAI's clients write them: a list of messages with roles and parts.

[{"role": "user", "content": [{"type": "video", "video": "a.mp4"}, {"type": "text", "text": "What moves?"}]},
 {"role": "assistant", "content": "A ball."},
 {"role": "user", "content": "Which way?"}]
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from videolavit.errors import PromptError

__all__ = ["Asked", "is_messages", "is_one_question", "question_with_media", "read_messages"]

logger = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class Asked:
    """One question of a conversation, what is shown with it, and its answer where there is one."""

    question: str = ""
    images: list[Any] = field(default_factory=list)
    videos: list[Any] = field(default_factory=list)
    answer: str | None = None


def is_messages(source: Any) -> bool:
    """True for a list of messages, each with a role."""
    is_list = isinstance(source, list | tuple) and bool(source)
    return is_list and all(isinstance(message, Mapping) and "role" in message for message in source)


def is_one_question(source: Any) -> bool:
    """True for a text, a question with its own media, or messages; anything else is several questions, or none."""
    return isinstance(source, str | Mapping) or is_messages(source)


def read_messages(messages: Sequence[Mapping[str, Any]]) -> list[Asked]:
    """Questions of a conversation in order; the last one has no answer yet.

    Text and media keep their order by `<image>` and `<video>` in the question, where media stand between words.

    Raises:
        PromptError: another role or kind of content, answers without questions or with images or videos, or a last
            message that asks nothing.
    """
    asked: list[Asked] = []
    for message in messages:
        role = message["role"]
        if role == "system":
            logger.warning("the model has a system message of its own; the one of the conversation is left out")
        elif role == "user":
            asked.append(_question(message.get("content", "")))
        elif role == "assistant" and asked and asked[-1].answer is None:
            asked[-1].answer = _answer(message.get("content", ""))
        else:
            raise PromptError(f"got a message of the role {role!r} at its place, expected user and assistant in turns")
    if not asked or asked[-1].answer is not None:
        raise PromptError("the last message of the conversation is no question; end with one of the role user")
    if any(one.answer is None for one in asked[:-1]):
        raise PromptError("got two questions in a row; put the answer between them, of the role assistant")
    return asked


def _answer(content: Any) -> str:
    told = _question(content)
    if told.images or told.videos:
        kind = "an image" if told.images else "a video"
        raise PromptError(
            f"got {kind} in a message of the assistant, expected words; show it in the next message of the user"
        )
    return told.question


def _question(content: Any) -> Asked:
    if isinstance(content, str):
        return Asked(question=content)
    if not isinstance(content, list | tuple):
        raise PromptError(f"got {type(content).__name__} as the content of a message, expected a text or parts")
    found, words = Asked(), []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text":
            if not isinstance(text := part.get("text"), str):
                raise PromptError(f'got {part!r}, expected words, such as {{"type": "text", "text": "What moves?"}}')
            words.append(text)
        elif kind in ("image", "video"):
            (found.images if kind == "image" else found.videos).append(_media(part, kind))
            words.append(f"<{kind}>")
        else:
            raise PromptError(f"got the part {part!r}, expected one of the type text, image or video")
    found.question = question_with_media(words)
    return found


def question_with_media(pieces: Sequence[str]) -> str:
    """Words of a question, with `<image>` and `<video>` among them where media stand.

    Media that stand together at either end come first, as in the model's template: images, then videos, need no
    placeholders there.
    """
    places = [piece in ("<image>", "<video>") for piece in pieces]
    media = [piece for piece, is_medium in zip(pieces, places, strict=True) if is_medium]
    words = [piece for piece, is_medium in zip(pieces, places, strict=True) if not is_medium]
    if words and places in (sorted(places), sorted(places, reverse=True)):
        pieces = words if media == sorted(media) else [*media, *words]
    return " ".join(pieces)


def _media(part: Mapping[str, Any], kind: str) -> Any:
    for name in (kind, "path", "url"):
        if part.get(name) is not None:
            return part[name]
    raise PromptError(
        f'got {dict(part)!r}, expected the {kind} itself, such as {{"type": "{kind}", "{kind}": "a.file"}}'
    )
