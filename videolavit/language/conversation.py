"""Conversations about images and videos, in the template of a model (`chat_template.py`), by default the released one.

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
from videolavit.language.chat_template import VICUNA, ChatTemplate
from videolavit.language.prompts import Ids, ImageInput, Piece, Prompt, Text, TextTokenizer, VideoInput, assemble
from videolavit.vocabulary import Vocabulary

__all__ = ["Turn", "conversation", "cut_answer", "placeholders"]

_PLACEHOLDERS = {"<image>": ImageInput, "<video>": VideoInput}
_PLACEHOLDER = re.compile("(<image>|<video>)")
_SPECIAL = re.compile(r"(<\|\w+\|>)")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Turn:
    """A question with the media it shows, and its answer where it has been given."""

    question: str
    """May say `<image>` and `<video>` once for each of `media`, in order; without any, media come first."""
    media: tuple[ImageInput | VideoInput, ...] = field(default=(), repr=False)
    answer: str | None = None


def conversation(
    turns: Sequence[Turn],
    vocabulary: Vocabulary,
    tokenizer: TextTokenizer | None,
    *,
    template: ChatTemplate = VICUNA,
    system: str | None = None,
) -> Prompt:
    """Prompt for the answer to the last turn, all earlier turns being answered; or a whole conversation to learn from.

    `system` takes the place of the template's; empty leaves it out.

    Raises:
        PromptError: media and placeholders do not fit, a turn but the last has no answer, there is no turn, or the
            tokenizer does not have the template's special tokens.
    """
    if not turns:
        raise PromptError("a conversation needs at least one turn")
    if any(turn.answer is None for turn in turns[:-1]):
        raise PromptError("every turn but the last needs an answer; join unanswered questions into one turn")
    pieces: list[Piece] = []
    system = template.system if system is None else system
    opening = template.opening.replace("{system}", system) if system else ""
    for turn in turns:
        pieces += _turn_pieces(turn, opening, template, vocabulary, tokenizer)
        opening = template.between
    return assemble(pieces, vocabulary, tokenizer, start=template.starts)


def placeholders(text: str) -> list[str]:
    """Every `<image>` and `<video>` in a text, in order."""
    return _PLACEHOLDER.findall(text)


def cut_answer(text: str, template: ChatTemplate = VICUNA) -> str:
    """The answer itself: what stands before the mark that ends it, without spaces around it."""
    ended = template.answer_ended
    end = ended.search(f"{text} ") if ended is not None else None
    return (text[: end.start()] if end else text).strip()


def _turn_pieces(
    turn: Turn, opening: str, template: ChatTemplate, vocabulary: Vocabulary, tokenizer: TextTokenizer | None
) -> list[Piece]:
    before, _, after = template.question.partition("{question}")
    asked = _with_placeholders(turn)
    _check_media(_PLACEHOLDER.findall(opening + asked), turn.media)
    media = iter(turn.media)
    written = [("", part) for part in _SPECIAL.split(opening + before)]
    written.append(("question", asked))
    written += [("", part) for part in _SPECIAL.split(after)]
    pieces: list[Piece] = []
    for kind, part in written:
        if not kind and _SPECIAL.fullmatch(part):
            pieces.append(_special(part, tokenizer))
        else:
            pieces += [next(media) if word in _PLACEHOLDERS else Text(word) for word in _split(part)]
    *pieces, last = _joined(pieces)
    if turn.answer is None:
        return [*pieces, last]
    # The answer is tokenized with the words before it: on its own it would start with another token.
    assert isinstance(last, Text)
    answer = template.answer.replace("{answer}", turn.answer)
    return [*pieces, Text(last.text + answer), Ids([vocabulary.text_end])]


def _special(text: str, tokenizer: TextTokenizer | None) -> Ids:
    """The one id of a special token of a template."""
    ids = (
        []
        if tokenizer is None
        else list(tokenizer(text, add_special_tokens=False, split_special_tokens=False).input_ids)
    )
    if len(ids) != 1:
        raise PromptError(
            f"the chat template says {text}, which is no special token of the text tokenizer; "
            "take the template of this language model"
        )
    return Ids(ids)


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Neighbouring texts as one, so that they are tokenized together."""
    joined: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, Text) and joined and isinstance(joined[-1], Text):
            joined[-1] = Text(joined[-1].text + piece.text)
        else:
            joined.append(piece)
    return joined


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
