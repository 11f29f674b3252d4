"""Ids that may come next, and those that came, block by block (paper section 3.3, reference sections 1 and 7).

What is to be written is a row of blocks; a `Walk` goes through them id by id and says, before each, whether the next
id is forced or which ids there are to choose from:

    keyframe   [IMG], then `min_ids` to `max_ids` visual ids, then [/IMG]: chosen by the model, forced at the maximum
    motion     [MOV], then exactly as many motion ids as the motion tokenizer decodes, then [/MOV]
    text       up to `max_ids` text ids, then </s>

A keyframe that is `optional` may be left out: the model chooses between [IMG] and the [MOV] of the block behind it. So
nothing malformed can be written, whatever the weights. `Block.released` is the looser rule of the released model,
which needs `fit_motion` afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from jaxtyping import Int
from torch import Tensor

from videolavit.errors import ConfigError, PromptError
from videolavit.vocabulary import Vocabulary

__all__ = [
    "Block",
    "Generated",
    "GeneratedBlock",
    "GrammarConfig",
    "Modality",
    "NewId",
    "Walk",
    "fit_motion",
    "generated",
    "only_visual",
]


class Modality(StrEnum):
    """Form of a block."""

    KEYFRAME = "keyframe"
    MOTION = "motion"
    TEXT = "text"


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """One block to be written; `Block.keyframe()`, `.motion()`, `.text()` and `.released()` make them."""

    modality: Modality
    min_ids: int
    """The closing special token is not possible before so many ids, special tokens not counted."""
    max_ids: int
    """The closing special token is forced after so many; with `loose`, the block ends there without one."""
    loose: bool = False
    """The released model's rule: special text ids and the special tokens of the block stay possible inside it."""
    optional: bool = False
    """May be left out by the model, which opens the next block instead."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_ids <= self.max_ids or self.max_ids < 1:
            raise ConfigError(
                f"a {self.modality} block of {self.min_ids} to {self.max_ids} ids is impossible; "
                "the least must not be negative, nor above the most, and the most at least 1"
            )

    @classmethod
    def keyframe(cls, min_ids: int = 20, max_ids: int = 256, *, optional: bool = False) -> Block:
        """A keyframe that closes; `max_ids` is at most the number of patches that the visual tokenizer sees."""
        return cls(modality=Modality.KEYFRAME, min_ids=max(min_ids, 1), max_ids=max_ids, optional=optional)

    @classmethod
    def motion(cls, num_ids: int = 135) -> Block:
        """Motion of exactly as many ids as the motion tokenizer has positions."""
        return cls(modality=Modality.MOTION, min_ids=num_ids, max_ids=num_ids)

    @classmethod
    def text(cls, max_ids: int = 512) -> Block:
        """An answer in words."""
        return cls(modality=Modality.TEXT, min_ids=0, max_ids=max_ids)

    @classmethod
    def released(cls, modality: Modality, min_ids: int = 20, max_ids: int = 500) -> Block:
        """A block as the released model writes it: any length, not always closed, special text ids possible."""
        return cls(modality=modality, min_ids=max(min_ids, 1), max_ids=max_ids, loose=True)

    @property
    def shortest(self) -> int:
        """Least number of ids, special tokens included."""
        return 0 if self.optional else self.shortest_written

    @property
    def shortest_written(self) -> int:
        """The same where the block is not left out."""
        return self.min_ids + (self.modality is not Modality.TEXT) + (not self.loose)

    def opening(self, vocabulary: Vocabulary) -> int | None:
        """The special token that starts the block; text has none."""
        special_tokens = {Modality.KEYFRAME: vocabulary.image_start, Modality.MOTION: vocabulary.motion_start}
        return special_tokens.get(self.modality)

    def closing(self, vocabulary: Vocabulary) -> int:
        """The id that ends the block."""
        special_tokens = {Modality.KEYFRAME: vocabulary.image_end, Modality.MOTION: vocabulary.motion_end}
        return special_tokens.get(self.modality, vocabulary.text_end)

    def choices(self, vocabulary: Vocabulary) -> tuple[range, ...]:
        """Every id that can be chosen inside the block, the closing special token included."""
        if self.modality is Modality.TEXT:
            return (vocabulary.text_range,)
        content = vocabulary.visual_range if self.modality is Modality.KEYFRAME else vocabulary.motion_range
        if not self.loose:
            return (range(self.closing(vocabulary), content.stop),)
        special = range(max(vocabulary.unknown, vocabulary.text_start, vocabulary.text_end) + 1)
        return special, range(content.start - 2, content.stop)


@dataclass(frozen=True, kw_only=True, slots=True)
class GrammarConfig:
    """Lengths of blocks, as the tokenizers of one model need them; the defaults are those of the released one."""

    min_keyframe_ids: int = 20
    max_keyframe_ids: int = 256
    motion_ids: int = 135
    max_text_ids: int = 512
    constrained: bool = True
    """False for blocks as the released model generates them: `Block.released` for keyframes and motion."""
    clips_per_keyframe: int = 1
    """Most clips that may share a keyframe, for models that know clips of motion alone."""

    def __post_init__(self) -> None:
        for make in (self.keyframe, self.motion, self.text):
            make()  # refuses impossible lengths

    def video(self, num_clips: int = 1, first: int = 0) -> tuple[Block, ...]:
        """Keyframe and motion, as often as there are clips; `first` is the number of the first of them."""
        clips = range(first, first + num_clips)
        return tuple(block for clip in clips for block in (self.keyframe(clip), self.motion()))

    def keyframe(self, clip: int = 0) -> Block:
        """The keyframe of a clip of that number; that of the first is there in any case, as an image is."""
        if not self.constrained:
            return Block.released(Modality.KEYFRAME)
        optional = clip % self.clips_per_keyframe != 0
        return Block.keyframe(self.min_keyframe_ids, self.max_keyframe_ids, optional=optional)

    def motion(self) -> Block:
        """Motion alone, for a keyframe that the prompt gives."""
        return Block.motion(self.motion_ids) if self.constrained else Block.released(Modality.MOTION)

    def text(self) -> Block:
        """An answer."""
        return Block.text(self.max_text_ids)


class Walk:
    """State of one sequence in its blocks. Ask for `forced`, `choices`, `may_close`, then `take` the id that came."""

    def __init__(self, blocks: Sequence[Block], vocabulary: Vocabulary, room: int):
        """Start before the first block; `room` is how many ids the context still holds.

        Raises:
            PromptError: there is no block, or even the shortest sequence does not fit.
        """
        if not blocks:
            raise PromptError("nothing to generate: give at least one block")
        if not all(map(_may_be_left_out, blocks, [*blocks[1:], None])):
            raise PromptError("only a keyframe with motion behind it may be optional")
        self.shortest = sum(block.shortest for block in blocks)
        if self.shortest > room:
            raise PromptError(
                f"at least {self.shortest} ids are to be generated and the context has room for {max(room, 0)}; "
                "shorten the prompt or generate fewer clips"
            )
        self.blocks, self.vocabulary, self.room = tuple(blocks), vocabulary, room
        self.index = -1
        self._opening: int | None = None
        self._other_opening: int | None = None
        """The special token that may come in place of an optional block."""
        self._next_block()

    @property
    def finished(self) -> bool:
        return self.index == len(self.blocks)

    @property
    def block(self) -> Block:
        return self.blocks[self.index]

    @property
    def at_opening(self) -> bool:
        """True if the next id is the special token that opens a block."""
        return not self.finished and self._opening is not None

    @property
    def forced(self) -> int | None:
        """The only id that may come next, if there is only one."""
        if self._opening is not None:
            return self._opening if self._other_opening is None else None
        return self._closing if self._count == self._limit else None

    @property
    def choices(self) -> tuple[range, ...]:
        """Every id among which the next one is chosen, where none is forced."""
        if self._opening is None:
            return self.block.choices(self.vocabulary)
        return tuple(range(one, one + 1) for one in (self._opening, self._other_opening) if one is not None)

    def index_of(self, new_id: int) -> int:
        """The block to which the next id belongs, if it is that one."""
        return self.index + (new_id == self._other_opening)

    @property
    def may_close(self) -> bool:
        """True if the closing special token is among the choices of a block that is open."""
        return self._count >= self.block.min_ids

    def take(self, new_id: int) -> None:
        """Go on by one id, which must be one that was possible."""
        if self.index_of(new_id) != self.index:
            self._next_block()
        self.room -= 1
        if self._opening is not None:
            self._opening = self._other_opening = None
            return
        self._count += 1
        if new_id == self._closing or (self.block.loose and self._count == self._limit):
            self._next_block()

    def _next_block(self) -> None:
        if self.index >= 0:
            self.shortest -= self.block.shortest
        self.index += 1
        if self.finished:
            return
        self._count = 0
        self._opening, self._closing = self.block.opening(self.vocabulary), self.block.closing(self.vocabulary)
        # A block may not take the room that the special tokens and the shortest form of the rest need.
        block, rest = self.block, self.shortest - self.block.shortest
        self._limit = min(block.max_ids, block.min_ids + self.room - rest - block.shortest_written)
        self._other_opening = self.blocks[self.index + 1].opening(self.vocabulary) if block.optional else None
        if block.optional and self._limit < block.min_ids:  # no room for it
            self._next_block()


def _may_be_left_out(block: Block, following: Block | None) -> bool:
    """False for an optional block that has no motion behind it for the model to open instead."""
    return not block.optional or (following is not None and following.modality is Modality.MOTION)


def only_visual(ids: Int[Tensor, "n"], vocabulary: Vocabulary) -> Int[Tensor, "m"]:
    """The visual ids among those of a keyframe that the released rule sampled."""
    return ids[(ids >= vocabulary.visual_range.start) & (ids < vocabulary.visual_range.stop)]


def fit_motion(ids: Int[Tensor, "n"], num_ids: int, vocabulary: Vocabulary) -> Int[Tensor, "num_ids"]:
    """Motion that the released rule sampled, cut to `num_ids` or filled with code 0 (reference section 7).

    Special text ids, which that rule allows, are left out first.
    """
    motion = ids[(ids >= vocabulary.motion_range.start) & (ids < vocabulary.motion_range.stop)][:num_ids]
    return torch.cat([motion, motion.new_full((num_ids - len(motion),), vocabulary.motion_range.start)])


@dataclass(frozen=True, slots=True)
class NewId:
    """One id, as it comes."""

    sample: int
    """Index of the prompt, or the number of the request."""
    block: int
    """Index of the block that the id belongs to; special tokens belong to the block they open or close."""
    id: int
    logprob: float | None = None
    """Log-probability among the ids that the grammar allows, guidance included, before temperature, top-k and top-p;
    where it was asked for. A forced id has 0."""
    top: tuple[tuple[int, float], ...] = ()
    """The likeliest ids with theirs, the best first, where asked for."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GeneratedBlock:
    """One block as it was written."""

    modality: Modality
    ids: Int[Tensor, "n"]
    """Without the opening and closing special token."""
    closed: bool
    """True if the closing special token came."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Generated:
    """All that was written after one prompt."""

    ids: Int[Tensor, "n"]
    """All new ids, special tokens included. Prompt and these together are the context of what follows."""
    blocks: tuple[GeneratedBlock, ...]
    finished: bool
    """True if every block was written; False where the sample was ended early."""

    def of(self, modality: Modality) -> list[Int[Tensor, "_"]]:
        """Contents of the blocks of one modality, in order."""
        return [block.ids for block in self.blocks if block.modality == modality]


def generated(written: Sequence[NewId], walk: Walk) -> Generated:
    """Steps of `walk`, sorted into blocks."""
    blocks = []
    for index, block in enumerate(walk.blocks):
        ids = [new.id for new in written if new.block == index]
        if ids:
            closed = ids[-1] == block.closing(walk.vocabulary)
            content = ids[block.opening(walk.vocabulary) is not None : len(ids) - closed]
            blocks.append(GeneratedBlock(modality=block.modality, ids=_ids(content), closed=closed))
    return Generated(ids=_ids([new.id for new in written]), blocks=tuple(blocks), finished=walk.finished)


def _ids(values: list[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.long)
