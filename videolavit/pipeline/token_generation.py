"""Ids of clips: what the language model writes, block by block (paper, section 3.3; reference section 7).

Blocks come as soon as they are written, so that a keyframe can be drawn before its motion is known, and a clip before
the next one begins. Where the context is full, its oldest clips are left out; the prompt's words stay.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from videolavit.errors import ConfigError, PromptError
from videolavit.language.generate import NewId, generate, stream
from videolavit.language.grammar import Block, GrammarConfig, Modality, fit_motion, only_visual
from videolavit.language.prompts import Prompt
from videolavit.nn.random import sample_generators
from videolavit.pipeline.model_components import Components
from videolavit.pipeline.options import GenerationOptions
from videolavit.pipeline.progress import Work
from videolavit.pipeline.ranking import best_of
from videolavit.vocabulary import Vocabulary

__all__ = ["BestOfN", "GeneratedClipBlock", "TokenGenerator", "window"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GeneratedClipBlock:
    """A keyframe or the motion of a clip."""

    clip: int
    modality: Modality
    codes: Int[Tensor, "n"]
    """As the tokenizers decode them, whatever was written."""
    context: Int[Tensor, "m"]
    """Ids up to here: prompt, earlier clips and this block."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BestOfN:
    """Best of several: how many are written, and the words that the best one shows best."""

    candidates: int = 1
    words: str = ""

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise ConfigError(f"got candidates={self.candidates}, expected at least 1")
        if self.candidates > 1 and not self.words.strip():
            raise PromptError("several candidates are compared by the prompt's words; give it some, or take one")


class TokenGenerator:
    """Writes the clips of one video, or an image."""

    def __init__(self, model: Components, options: GenerationOptions, work: Work, wish: BestOfN | None = None) -> None:
        self.model, self.options, self.work, self.wish = model, options, work, wish or BestOfN()
        with work.step("load"):
            _ = model.language_model
        most: int = model.parts.config("condition_decoder").num_positions
        self.grammar = GrammarConfig(
            min_keyframe_ids=min(model.settings.min_keyframe_ids, most),
            max_keyframe_ids=most,
            motion_ids=model.parts.config("motion_tokenizer").num_tokens,
            constrained=options.constrained,
        )

    def keyframe(self, context: Int[Tensor, "n"]) -> GeneratedClipBlock:
        """An image after a prompt.

        Raises:
            PromptError: it does not fit behind the prompt.
        """
        [block] = self._write(context, [self.grammar.keyframe()], 0)
        return block

    def clips(
        self, context: Int[Tensor, "n"], count: int, *, first: int = 0, keyframe_is_given: bool = False
    ) -> Iterator[GeneratedClipBlock]:
        """Keyframe and motion of `count` clips, as they come.

        Args:
            context: what stands before.
            count: number of clips.
            first: number of the first one; so many are in the context.
            keyframe_is_given: the context ends in the first one's keyframe.

        Raises:
            PromptError: not even one clip fits behind the prompt.
        """
        longest = sum(block.max_ids + 2 for block in self.grammar.video())
        length, clip = self.model.language_model.context_length, first
        while clip < first + count:
            given = keyframe_is_given and clip == first
            read = window(context, length - longest, clip + given, self.model.vocabulary)
            fitting = max(1, min(first + count - clip, (length - len(read)) // longest))
            before = context
            for block in self._write(read, self.grammar.video(fitting)[given:], clip):
                context = torch.cat([before, block.context[len(read) :]])
                yield replace(block, context=context)
            clip += fitting

    def _write(self, context: Tensor, blocks: Sequence[Block], clip: int) -> Iterator[GeneratedClipBlock]:
        """Blocks of the clips from number `clip` on. What goes on from earlier clips has random streams of its own."""
        starts_with_motion = blocks[0].modality is Modality.MOTION
        run = self._write_best if self.wish.candidates > 1 else self._write_one
        for number, ids in enumerate(run(context, blocks, f"ids {clip}")):
            block = blocks[number]
            context = torch.cat([context, ids])
            yield GeneratedClipBlock(
                clip=clip + (number + starts_with_motion) // 2,
                modality=block.modality,
                codes=self._codes(ids, block),
                context=context,
            )

    def _write_one(self, context: Tensor, blocks: Sequence[Block], name: str) -> Iterator[Tensor]:
        """Ids of each block, marks included, as soon as it ends."""
        model, prompt = self.model.language_model, Prompt.from_ids(context)
        ids = stream(model, [prompt], blocks, self.options.sampling, self.options.generators(name))
        with closing(ids):  # type: ignore[type-var] - a generator
            reader = _BlockReader(ids, blocks, self.model.vocabulary)
            for number, block in enumerate(blocks):
                with self.work.step("write", block.max_ids + 2) as report:
                    written = reader.read(number, report)
                    report(block.max_ids + 2)
                yield torch.tensor(written)

    def _write_best(self, context: Tensor, blocks: Sequence[Block], name: str) -> Iterator[Tensor]:
        """The same for the best of several, which are written together."""
        count = self.wish.candidates
        generators = sample_generators(self._seed(), count, stream=name)
        total = count * sum(block.max_ids + 2 for block in blocks)
        with self.work.step("write", total) as report:
            done = itertools.count(1)

            def count_id(new: NewId) -> bool:
                report(next(done))
                return False  # go on

            prompts, sampling = [Prompt.from_ids(context)] * count, self.options.sampling
            written = generate(self.model.language_model, prompts, blocks, sampling, generators, count_id)
            report(total)
        with self.work.step("rank", count) as report:
            drafts = [drawn.ids for drawn in written]
            best = best_of(self.model.answering.language_model, context, drafts, blocks, self.wish.words)
            report(count)
        vocabulary, ids = self.model.vocabulary, written[best].ids
        lengths = [
            len(block.ids) + block.closed + (plan.opening(vocabulary) is not None)
            for block, plan in zip(written[best].blocks, blocks, strict=True)
        ]
        yield from ids.split(lengths)

    def _seed(self) -> int:
        generator = self.options.generator
        return self.options.seed if generator is None else int(torch.randint(2**62, (), generator=generator))

    def _codes(self, ids: Tensor, block: Block) -> Tensor:
        """Codes of a block with its marks. The released rule allows what cannot be decoded; that is left out here."""
        vocabulary = self.model.vocabulary
        if block.modality is Modality.MOTION:
            return vocabulary.motion_codes(fit_motion(ids, self.grammar.motion_ids, vocabulary))
        return vocabulary.visual_codes(only_visual(ids, vocabulary)[: self.grammar.max_keyframe_ids])


class _BlockReader:
    """Ids of a running generation, block by block."""

    def __init__(self, ids: Iterator[NewId], blocks: Sequence[Block], vocabulary: Vocabulary) -> None:
        self._ids, self._blocks, self._vocabulary = ids, blocks, vocabulary
        self._held: NewId | None = None
        """The next block's first id, where only that tells that a block has ended: the released rule need not close."""

    def read(self, number: int, report: Callable[[int], None]) -> list[int]:
        """All ids of the block with that number."""
        closing_token = self._blocks[number].closing(self._vocabulary)
        read: list[int] = []
        while (new := self._next()) is not None:
            if new.block != number:
                self._held = new
                break
            read.append(new.id)
            report(len(read))
            if new.id == closing_token:
                break
        return read

    def _next(self) -> NewId | None:
        held, self._held = self._held, None
        return held or next(self._ids, None)


def window(context: Int[Tensor, "n"], room: int, num_clips: int, vocabulary: Vocabulary) -> Int[Tensor, "m"]:
    """The prompt, and as many of the last of its `num_clips` clips as there is `room` for; the very last one stays.

    Every clip begins with `[IMG]`, and so do images of the prompt, which stand before all clips.
    """
    if len(context) <= room or num_clips < 2:
        return context
    starts = (context == vocabulary.image_start).nonzero()[:, 0][-num_clips:].tolist()
    prompt = context[: starts[0]]
    kept = next((start for start in starts if len(prompt) + len(context) - start <= room), starts[-1])
    return torch.cat([prompt, context[kept:]])
