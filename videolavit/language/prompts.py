"""Prompts: words, images and videos as one row of ids and features (paper section 3.3, reference sections 4 and 7).

    image           [IMG] v1 .. vn [/IMG]            ids to be continued, or continuous features to be understood
    clip              image [MOV] m1 .. mk [/MOV]
    video             clip clip ...

`assemble` makes a `Prompt` of such pieces. Only a text tokenizer is needed for it; `LanguageModel.embed` turns the
result into embeddings. The template of conversations is in `videolavit.language.conversation`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from videolavit.errors import PromptError
from videolavit.vocabulary import Vocabulary

__all__ = [
    "ClipInput",
    "Ids",
    "ImageInput",
    "Moment",
    "Piece",
    "Prompt",
    "Text",
    "TextTokenizer",
    "VideoInput",
    "assemble",
    "encode_text",
]


@runtime_checkable
class TextTokenizer(Protocol):
    """Methods of a transformers tokenizer that are used."""

    def __call__(self, text: str, *, add_special_tokens: bool, split_special_tokens: bool) -> Any: ...

    def decode(self, token_ids: Any, *, skip_special_tokens: bool) -> Any: ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prompt:
    """Input of a model before it writes: ids and, between them, continuous features, in order."""

    parts: tuple[Tensor, ...]
    """1-D integer tensors of ids and (n, width) float tensors of features."""

    def __post_init__(self) -> None:
        if not len(self):
            raise PromptError("the prompt is empty; give it at least a word, an image or one id")

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __repr__(self) -> str:
        parts = (f"{len(part)} {'features' if part.is_floating_point() else 'ids'}" for part in self.parts)
        return f"Prompt({' + '.join(parts)})"

    @property
    def ids(self) -> Int[Tensor, "length"]:
        """The prompt as ids.

        Raises:
            PromptError: it holds continuous features, which have none.
        """
        if any(part.is_floating_point() for part in self.parts):
            raise PromptError(f"{self} has continuous features, which are no ids; use `LanguageModel.embed`")
        return torch.cat(self.parts)

    @classmethod
    def from_ids(cls, ids: Iterable[int] | Tensor) -> Prompt:
        """A prompt of ready-made ids."""
        return cls(parts=(_as_ids(ids),))


@dataclass(frozen=True, slots=True)
class Text:
    """Words, tokenized on their own and without `<s>`."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Ids:
    """Ready-made ids of any modality, special tokens included; taken as they are."""

    ids: Iterable[int] | Tensor


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImageInput:
    """An image or keyframe: either visual ids (without special tokens) or continuous features."""

    ids: Int[Tensor, "n"] | None = None
    features: Float[Tensor, "n width"] | None = None

    def __post_init__(self) -> None:
        if (self.ids is None) == (self.features is None):
            raise PromptError("an image is either ids or features; give exactly one of them")
        content = self.ids if self.ids is not None else self.features
        if content is not None and not len(content):
            raise PromptError("an image has no ids or features at all; the visual tokenizer kept nothing of it")


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """One clip of a longer video that a question is asked about: where it is, and how it was found."""

    clip: int
    """Its number."""
    num_clips: int
    """Of the whole video."""
    start_seconds: float
    end_seconds: float
    with_motion: bool = True
    """False where the keyframe alone is looked at."""
    score: float | None = None
    """Fit to the question, where clips were compared."""
    source: str = ""
    """Folder of the memory that it comes from."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClipInput:
    """A keyframe and its motion ids (without special tokens); one of the two may be left out.

    Motion without a keyframe goes on from the clip before, and a keyframe without motion is a still moment.
    """

    keyframe: ImageInput | None = None
    motion_ids: Int[Tensor, "k"] | None = None
    moment: Moment | None = None
    """Of clips that were chosen from a longer video."""

    def __post_init__(self) -> None:
        if self.keyframe is None and self.motion_ids is None:
            raise PromptError("a clip has neither keyframe nor motion; give it one of them")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class VideoInput:
    """Clips in order."""

    clips: tuple[ClipInput, ...]

    def __post_init__(self) -> None:
        if not self.clips:
            raise PromptError("a video has no clip; decompose it into at least one")

    def thinned(self, count: int) -> VideoInput:
        """At most `count` clips, evenly spaced; motion alone stays where all of it since its keyframe does."""
        if len(self.clips) <= count:
            return self
        places = {number * len(self.clips) // count for number in range(count)}
        kept: list[int] = []
        for place in sorted(places):
            if self.clips[place].keyframe is not None or (kept and kept[-1] == place - 1):
                kept.append(place)
        # Motion without a keyframe at the very beginning belongs to a video that is looked at from its middle.
        return VideoInput(clips=tuple(self.clips[place] for place in kept or [0]))


Piece = Text | Ids | ImageInput | ClipInput | VideoInput


def assemble(
    pieces: Sequence[Piece],
    vocabulary: Vocabulary,
    tokenizer: TextTokenizer | None = None,
    *,
    start: bool = False,
) -> Prompt:
    """A prompt of pieces in order; `start` puts `<s>` in front, as understanding does and generation does not.

    Raises:
        PromptError: nothing in it, or words without a tokenizer.
        VocabularyError: an image's ids are not visual ids, or a clip's are not motion ids.
    """
    parts = [torch.tensor([vocabulary.text_start])] if start else []
    for piece in pieces:
        parts += _parts(piece, vocabulary, tokenizer)
    return Prompt(parts=tuple(_joined([part for part in parts if len(part)])))


def encode_text(text: str, vocabulary: Vocabulary, tokenizer: TextTokenizer | None) -> Int[Tensor, "n"]:
    """Ids of words, without `<s>`; a `</s>` in the text is four letters, never the special token.

    Raises:
        PromptError: there is no tokenizer, its ids are not the vocabulary's text ids, or the words are no text.
    """
    if tokenizer is None:
        raise PromptError(f"got the text {text[:40]!r} and no text tokenizer; give the language model one, or pass ids")
    try:
        text.encode()
    except UnicodeEncodeError as error:  # what Python makes of arguments in another encoding
        raise PromptError(f"got {text[:40]!r}, which has signs that are no text; write it in UTF-8") from error
    ids = _as_ids(tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids)
    if len(ids) and int(ids.max()) >= vocabulary.num_text:
        raise PromptError(
            f"the text tokenizer gave id {int(ids.max())}, but text ids end at {vocabulary.num_text - 1}; "
            "tokenizer and vocabulary do not belong together"
        )
    return ids


def _parts(piece: Piece, vocabulary: Vocabulary, tokenizer: TextTokenizer | None) -> list[Tensor]:
    match piece:
        case Text(text):
            return [encode_text(text, vocabulary, tokenizer)]
        case Ids(ids):
            return [_as_ids(ids)]
        case ImageInput():
            return _image_parts(piece, vocabulary)
        case ClipInput(keyframe=keyframe, motion_ids=motion_ids):
            seen = [] if keyframe is None else _image_parts(keyframe, vocabulary)
            return seen if motion_ids is None else [*seen, _motion_part(motion_ids, vocabulary)]
        case VideoInput(clips=clips):
            return [part for clip in clips for part in _parts(clip, vocabulary, tokenizer)]
        case _:
            raise PromptError(f"got a {type(piece).__name__} in a prompt, expected Text, Ids, Image or Video")


def _image_parts(image: ImageInput, vocabulary: Vocabulary) -> list[Tensor]:
    if image.features is not None:
        content = image.features
    else:
        assert image.ids is not None  # an image is one or the other
        content = _as_ids(image.ids)
        vocabulary.visual_codes(content)  # raises for an id of another modality
    return [torch.tensor([vocabulary.image_start]), content, torch.tensor([vocabulary.image_end])]


def _motion_part(ids: Tensor, vocabulary: Vocabulary) -> Tensor:
    content = _as_ids(ids)
    vocabulary.motion_codes(content)  # raises for an id of another modality
    return torch.tensor([vocabulary.motion_start, *content.tolist(), vocabulary.motion_end])


def _joined(parts: list[Tensor]) -> list[Tensor]:
    """Neighbouring ids as one tensor, so that a prompt of ids is a single part."""
    joined: list[Tensor] = []
    for part in parts:
        if joined and not part.is_floating_point() and not joined[-1].is_floating_point():
            joined[-1] = torch.cat([joined[-1], part])
        else:
            joined.append(part)
    return joined


def _as_ids(ids: Iterable[int] | Tensor) -> Tensor:
    tensor = ids.detach().cpu() if isinstance(ids, Tensor) else torch.tensor(list(ids), dtype=torch.long)
    if tensor.ndim != 1 or tensor.is_floating_point() or tensor.dtype == torch.bool:
        raise PromptError(f"got {tensor.dtype} of shape {tuple(tensor.shape)} as ids, expected one row of integers")
    return tensor.long()
