"""Training sequences of the language model: what it reads, and which ids it learns to write (paper, section 3.3).

Every sequence is, id for id, what the model meets in use: the same functions assemble both.

    image, video        caption [IMG] v.. [/IMG] [MOV] m.. [/MOV] ..         text first: to draw
    without the caption   [IMG] v.. [/IMG]    and    [MOV] m.. [/MOV]          the unconditional branches of guidance
    captions              <s> [IMG] features [/IMG] [MOV] m.. [/MOV] .. caption </s>
    questions             <s> system USER: .. question ASSISTANT: answer \\n </s>
    words                 <s> text </s>
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import torch
from jaxtyping import Int
from torch import Tensor

from videolavit.data.tokens import TokenizedClip, TokenizedVideo
from videolavit.errors import ConfigError, PromptError
from videolavit.language.chat_template import VICUNA, ChatTemplate
from videolavit.language.conversation import Turn, conversation
from videolavit.language.prompts import (
    ClipInput,
    Ids,
    ImageInput,
    Piece,
    Prompt,
    Text,
    TextTokenizer,
    VideoInput,
    assemble,
)
from videolavit.vocabulary import Vocabulary

__all__ = [
    "LossWeights",
    "SequenceMaker",
    "Target",
    "TrainingSequence",
]


class Target(IntEnum):
    """Kind that an id is learnt as."""

    NONE = 0
    """Read only."""
    SPECIAL_TOKEN = 1
    """`[IMG]`, `[MOV]`, `[/MOV]`: forced when the model generates."""
    CAPTION = 2
    """Words of a caption, before or after what they describe."""
    KEYFRAME = 3
    """Visual ids, and the `[/IMG]` that ends them."""
    MOTION = 4
    ANSWER = 5
    """An answer, its ending and `</s>`."""
    WORDS = 6
    """Text that goes with nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossWeights:
    """Weight of each kind of id in the loss; 0 leaves one out."""

    special_token: float = 1.0
    caption: float = 1.0
    keyframe: float = 1.0
    motion: float = 1.0
    answer: float = 1.0
    words: float = 1.0

    def __post_init__(self) -> None:
        values = self.by_target()
        if min(values) < 0 or not any(values):
            raise ConfigError(f"weights must not be negative, and not all 0; got {self}")

    def by_target(self) -> tuple[float, ...]:
        """Weights in the order of `Target`."""
        return (0.0, *(getattr(self, target.name.lower()) for target in list(Target)[1:]))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainingSequence:
    """One sequence, that sees nothing before it: ids and features, and what each position is learnt as."""

    prompt: Prompt
    targets: Int[Tensor, "length"]
    """A `Target` for each position; the first one is never learnt, because nothing stands before it."""

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def ids(self) -> Int[Tensor, "length"]:
        """The ids; 0 where features stand, which have none."""
        parts = [part.new_zeros(len(part), dtype=torch.long) if _continuous(part) else part for part in self.parts]
        return torch.cat(parts)

    @property
    def parts(self) -> tuple[Tensor, ...]:
        return self.prompt.parts

    @property
    def feature_places(self) -> list[Int[Tensor, "_"]]:
        """Positions of each part that is features."""
        places, start = [], 0
        for part in self.parts:
            if _continuous(part):
                places.append(torch.arange(start, start + len(part)))
            start += len(part)
        return places

    def cut(self, length: int) -> TrainingSequence:
        """At most the first `length` positions."""
        if len(self) <= length:
            return self
        kept, room = [], length
        for part in self.parts:
            kept.append(part[:room])
            room -= len(kept[-1])
        return TrainingSequence(prompt=Prompt(parts=tuple(p for p in kept if len(p))), targets=self.targets[:length])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SequenceMaker:
    """Makes sequences of videos and words."""

    vocabulary: Vocabulary
    text_tokenizer: TextTokenizer
    chat: ChatTemplate = VICUNA
    continuous: bool = True
    """Images that are read to be understood enter as features; else as ids."""
    max_length: int = 2048
    """Positions that the model has. What is drawn is cut there; what is asked about loses clips until it fits."""
    motion_only: bool = False
    """Some clips have motion alone: then the special token that opens a clip behind the first is learnt, too."""

    def generating(self, caption: str, video: TokenizedVideo, *, motion: bool = True) -> TrainingSequence:
        """Text first: the caption, then the clips; without `motion` the first keyframe alone."""
        words = assemble([Text(caption)], self.vocabulary, self.text_tokenizer).ids if caption else None
        blocks = self._clips(video) if motion else [self._keyframe(video.clips[0])]
        parts = [] if words is None else [(words, torch.full_like(words, Target.CAPTION))]
        return _joined([*parts, *blocks]).cut(self.max_length)

    def unprompted(self, video: TokenizedVideo, *, motion: bool = True) -> list[TrainingSequence]:
        """Every block on its own, opened by its special token: all that the unconditional branch of guidance sees."""
        blocks = [block for clip in video.clips for block in self._blocks(clip)] if motion else []
        return [_joined([block]) for block in blocks or [self._keyframe(video.clips[0])]]

    def describing(
        self, video: TokenizedVideo, caption: str, *, motion: bool = True, as_ids: bool = False
    ) -> TrainingSequence:
        """Images first: the clips, or the first keyframe, then the caption.

        `as_ids` shows images as ids in any case, as the model sees what it has just written.
        """
        if as_ids:
            return replace(self, continuous=False).describing(video, caption, motion=motion)
        ending = Ids([self.vocabulary.text_end])

        def shown(medium: ImageInput | VideoInput) -> Prompt:
            pieces: list[Piece] = [medium, Text(caption), ending]
            return assemble(pieces, self.vocabulary, self.text_tokenizer, start=True)

        medium = self._fitting(video, motion, shown)
        read = assemble([medium], self.vocabulary, start=True)
        return self._learning(shown(medium), len(read), Target.CAPTION)

    def answering(
        self, video: TokenizedVideo | None, questions: Sequence[tuple[str, str]], *, motion: bool = True
    ) -> TrainingSequence:
        """A conversation about a video, its first keyframe alone, or nothing; only the answers are learnt.

        Each of `questions` is a question and its answer. Those that do not fit into the model's positions are left out.

        Raises:
            PromptError: the text tokenizer joins the end of a question and the start of its answer into one id, so
                that the model would never meet in use what it learns.
        """

        def asked(medium: ImageInput | VideoInput | None, turns: int, *, answered: bool = True) -> Prompt:
            said = [Turn(question=question, answer=answer) for question, answer in questions[:turns]]
            said[0] = replace(said[0], media=() if medium is None else (medium,))
            if not answered:
                said[-1] = replace(said[-1], answer=None)
            return conversation(said, self.vocabulary, self.text_tokenizer, template=self.chat)

        medium = None if video is None else self._fitting(video, motion, lambda medium: asked(medium, 1))
        turns = len(questions)
        while turns > 1 and len(asked(medium, turns)) > self.max_length:
            turns -= 1
        whole = asked(medium, turns)
        targets = torch.full((len(whole),), int(Target.NONE))
        for turn in range(1, turns + 1):
            answered, read = asked(medium, turn), asked(medium, turn, answered=False)
            _check_prefix(answered, read)
            targets[len(read) : len(answered)] = Target.ANSWER
        return TrainingSequence(prompt=whole, targets=targets).cut(self.max_length)

    def words(self, text: str) -> TrainingSequence:
        """Plain text."""
        ending = Ids([self.vocabulary.text_end])
        prompt = assemble([Text(text), ending], self.vocabulary, self.text_tokenizer, start=True)
        return self._learning(prompt, 1, Target.WORDS)

    def _clips(self, video: TokenizedVideo) -> list[_Block]:
        """Blocks of all clips; where it is to be learnt, what opens each clip behind the first is part of it."""
        blocks = []
        for number, clip in enumerate(video.clips):
            first, *more = self._blocks(clip)
            if self.motion_only and number:
                first[1][0] = Target.KEYFRAME if clip.has_keyframe else Target.MOTION
            blocks += [first, *more]
        return blocks

    def _blocks(self, clip: TokenizedClip) -> list[_Block]:
        motion = self._motion(clip)
        return [self._keyframe(clip), motion] if clip.has_keyframe else [motion]

    def _keyframe(self, clip: TokenizedClip) -> _Block:
        special_tokens = self.vocabulary.image_start, self.vocabulary.image_end
        return _block(clip.visual_ids, special_tokens, Target.KEYFRAME, closing=Target.KEYFRAME)

    def _motion(self, clip: TokenizedClip) -> _Block:
        # Its length is fixed, so nothing is to be learnt about where it ends.
        special_tokens = self.vocabulary.motion_start, self.vocabulary.motion_end
        return _block(clip.motion_ids, special_tokens, Target.MOTION, closing=Target.SPECIAL_TOKEN)

    def _fitting(
        self, video: TokenizedVideo, motion: bool, make: Callable[[ImageInput | VideoInput], Prompt]
    ) -> ImageInput | VideoInput:
        """The first keyframe, or as many clips, evenly spaced, as the model has positions for."""
        if not motion:
            return self._image(video.clips[0])
        shown = VideoInput(clips=tuple(map(self._seen, video.clips)))
        for count in range(len(shown.clips), 1, -1):
            spaced = shown.thinned(count)
            if len(make(spaced)) <= self.max_length:
                return spaced
        return shown.thinned(1)

    def _seen(self, clip: TokenizedClip) -> ClipInput:
        keyframe = self._image(clip) if clip.has_keyframe else None
        return ClipInput(keyframe=keyframe, motion_ids=clip.motion_ids)

    def _image(self, clip: TokenizedClip) -> ImageInput:
        if not self.continuous:
            return ImageInput(ids=clip.visual_ids)
        if clip.features is None:
            raise ConfigError(
                "the token shards hold no features; make them with features, or set visual_input=discrete"
            )
        return ImageInput(features=clip.features)

    def _learning(self, prompt: Prompt, start: int, target: Target) -> TrainingSequence:
        targets = torch.full((len(prompt),), int(Target.NONE))
        targets[start:] = target
        return TrainingSequence(prompt=prompt, targets=targets).cut(self.max_length)


_Block = tuple[Tensor, Tensor]
"""Ids and targets."""


def _block(ids: Tensor, special_tokens: tuple[int, int], target: Target, *, closing: Target) -> _Block:
    opening_token, closing_token = (ids.new_tensor([special_token]) for special_token in special_tokens)
    targets = torch.full((len(ids) + 2,), int(target))
    targets[0], targets[-1] = Target.SPECIAL_TOKEN, closing
    return torch.cat([opening_token, ids, closing_token]), targets


def _joined(blocks: Sequence[_Block]) -> TrainingSequence:
    ids, targets = (torch.cat(column) for column in zip(*blocks, strict=True))
    targets[0] = Target.NONE
    return TrainingSequence(prompt=Prompt.from_ids(ids), targets=targets)


def _check_prefix(whole: Prompt, read: Prompt) -> None:
    before, after = read.parts[-1], whole.parts[-1]
    if not torch.equal(before, after[: len(before)]):
        raise PromptError(
            "the text tokenizer joins the end of a question and the start of its answer into one id; "
            "take one that splits words at spaces"
        )


def _continuous(part: Tensor) -> bool:
    return part.is_floating_point()
