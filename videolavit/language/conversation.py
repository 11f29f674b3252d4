"""Conversations about images and videos, in the template of instruction tuning (reference section 7).

    <s>{system} USER: <image>
    {question} ASSISTANT: {answer} \\n </s>USER: {next question} ASSISTANT:

`<image>` and `<video>` stand for media wherever the words put them; the text between two of them is tokenized on its
own. The `\\n` at the end of an answer is two characters, a backslash and an n: that is how the model was tuned.
How a second turn follows is not fixed by the reference; here it follows `</s>` directly.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from videolavit.errors import PromptError
from videolavit.language.prompts import Ids, ImageInput, Piece, Prompt, Text, TextTokenizer, VideoInput, assemble
from videolavit.vocabulary import Vocabulary

__all__ = ["ANSWER_END", "ANSWER_ENDED", "SYSTEM", "Turn", "conversation", "cut_answer", "placeholders"]

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)

ANSWER_END = " \\n "
"""Ending of an answer, before `</s>`."""

ANSWER_ENDED = re.compile(r"(?:^|\s)\\n\s")
"""Found in a text that goes on after the mark; not in `the operator \\nabla`, which only starts like it."""

_PLACEHOLDERS = {"<image>": ImageInput, "<video>": VideoInput}
_PLACEHOLDER = re.compile("(<image>|<video>)")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Turn:
    """A question with the media it shows, and its answer where it has been given."""

    question: str
    """May say `<image>` and `<video>` once for each of `media`, in order; without any, media come first."""
    media: tuple[ImageInput | VideoInput, ...] = field(default=(), repr=False)
    answer: str | None = None


def conversation(
    turns: Sequence[Turn], vocabulary: Vocabulary, tokenizer: TextTokenizer | None, *, system: str = SYSTEM
) -> Prompt:
    """Prompt for the answer to the last turn, all earlier turns being answered; or a whole conversation to learn from.

    Raises:
        PromptError: media and placeholders do not fit, a turn but the last has no answer, or there is no turn.
    """
    if not turns:
        raise PromptError("a conversation needs at least one turn")
    if any(turn.answer is None for turn in turns[:-1]):
        raise PromptError("every turn but the last needs an answer; join unanswered questions into one turn")
    pieces: list[Piece] = []
    opening = f"{system} " if system else ""
    for turn in turns:
        pieces += _turn_pieces(turn, opening, vocabulary)
        opening = ""
    return assemble(pieces, vocabulary, tokenizer, start=True)


def placeholders(text: str) -> list[str]:
    """Every `<image>` and `<video>` in a text, in order."""
    return _PLACEHOLDER.findall(text)


def cut_answer(text: str) -> str:
    """The answer itself: what stands before the first `\\n` of two characters, without spaces around it."""
    end = ANSWER_ENDED.search(f"{text} ")
    return (text[: end.start()] if end else text).strip()


def _turn_pieces(turn: Turn, opening: str, vocabulary: Vocabulary) -> list[Piece]:
    written = f"{opening}USER: {_with_placeholders(turn)} ASSISTANT:"
    _check_media(_PLACEHOLDER.findall(written), turn.media)
    media = iter(turn.media)
    *pieces, last = [next(media) if part in _PLACEHOLDERS else Text(part) for part in _split(written)]
    if turn.answer is None:
        return [*pieces, last]
    # The answer is tokenized with the words before it: on its own it would start with another token.
    assert isinstance(last, Text)
    return [*pieces, Text(f"{last.text} {turn.answer}{ANSWER_END}"), Ids([vocabulary.text_end])]


def _split(written: str) -> list[str]:
    return [part for part in _PLACEHOLDER.split(written) if part]


def _with_placeholders(turn: Turn) -> str:
    if not turn.media or _PLACEHOLDER.search(turn.question):
        return turn.question
    names = {kind: name for name, kind in _PLACEHOLDERS.items()}
    return "".join(f"{names[type(medium)]}\n" for medium in turn.media) + turn.question


def _check_media(named: list[str], media: tuple[ImageInput | VideoInput, ...]) -> None:
    if len(named) != len(media):
        raise PromptError(
            f"the question names {len(named)} media ({', '.join(named) or 'none'}) and {len(media)} were given; "
            "write <image> or <video> once for each, or none at all"
        )
    for position, (name, medium) in enumerate(zip(named, media, strict=True), start=1):
        if not isinstance(medium, _PLACEHOLDERS[name]):
            kind = "an image" if isinstance(medium, ImageInput) else "a video"
            raise PromptError(
                f"the question says {name} at place {position}, and {kind} is shown there; write <image> and <video> "
                "as they are given, or leave them out"
            )
