"""Ids of clips: the language model writes keyframes and motion, block by block (paper 3.3; reference section 7).

Blocks come as soon as they are complete, so that a keyframe can be decoded before its motion is known, and a clip
before the next one begins. Where the context is full, its oldest clips are left out; the prompt's words stay. Several
samples run together, each with its own context, random stream and windows: alone it would get the same ids.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from videolavit.checkpoints.model_components import Components
from videolavit.config import whole_number
from videolavit.errors import PromptError
from videolavit.generation_options import MOST_CANDIDATES, GenerationOptions
from videolavit.language.generate import NewId, generate, stream
from videolavit.language.generation_prompt import generation_prompt
from videolavit.language.grammar import Block, Generated, GrammarConfig, Modality, fit_motion, only_visual
from videolavit.language.prompts import Prompt
from videolavit.pipeline.ranking import best_drawn, best_of, named_things
from videolavit.progress import Progress
from videolavit.vocabulary import Vocabulary

__all__ = ["GeneratedClipBlock", "GenerationState", "TokenGenerator", "window"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GenerationState:
    """The point from which one sample goes on."""

    options: GenerationOptions
    """Completed ones; seed and negative prompt are those of the sample."""
    context: Int[Tensor, "n"]
    """Ids of the prompt and of earlier clips."""
    num_clips: int = 0
    """In the context; the first new clip has this number."""
    keyframe: UInt8[np.ndarray, "_ _ 3"] | None = None
    """The first clip's, if it is given and stands at the end of the context."""
    keyframe_codes: Int[Tensor, "k"] | None = None
    last_frame: UInt8[np.ndarray, "_ _ 3"] | None = None
    """Of the clip before."""
    is_continued: bool = False
    """The new frames come right behind that last frame: the first one shows it again and is left out."""
    candidates: int = 1
    """Best of n: as many drafts are written, and the one that fits `words` best is kept."""
    words: str = ""

    def __post_init__(self) -> None:
        candidates = whole_number("candidates", self.candidates, at_least=1, at_most=MOST_CANDIDATES)
        object.__setattr__(self, "candidates", candidates)
        if self.candidates > 1 and not self.words.strip():
            raise PromptError("several candidates are compared by the prompt's words; give it some, or take one")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GeneratedClipBlock:
    """A keyframe or the motion of a clip."""

    clip: int
    modality: Modality
    codes: Int[Tensor, "n"]
    """As the tokenizers decode them, whatever was written."""
    context: Int[Tensor, "m"]
    """Ids up to here: prompt, earlier clips and this block."""
    is_left_out: bool = False
    """True for the keyframe of a clip that goes on from the one before by motion alone."""


class TokenGenerator:
    """Keyframes and motion of several samples, block by block."""

    def __init__(self, model: Components, progress: Progress, *, constrained: bool = True) -> None:
        self.model, self.progress = model, progress
        self._negative: dict[str, Prompt] = {}
        with progress.step("load"):
            _ = model.language_model
        most: int = model.components.config("condition_decoder").num_positions
        self.grammar = GrammarConfig(
            min_keyframe_ids=min(model.settings.min_keyframe_ids, most),
            max_keyframe_ids=most,
            motion_ids=model.components.config("motion_tokenizer").num_tokens,
            constrained=constrained,
        )
        if model.settings.motion_only_clips:
            self.grammar = replace(self.grammar, clips_per_keyframe=self._clips_per_keyframe())

    def keyframes(self, states: Sequence[GenerationState]) -> list[GeneratedClipBlock]:
        """One keyframe after each context.

        Raises:
            PromptError: it does not fit behind the prompt.
        """
        blocks = [self.grammar.keyframe()]
        run = _Run(self, states, [state.context for state in states], blocks, [state.num_clips for state in states])
        with closing(run):
            return [run.next_block(index) for index in range(len(states))]

    def clips(self, states: Sequence[GenerationState], count: int) -> Iterator[list[GeneratedClipBlock]]:
        """Keyframe and motion of `count` clips: lists with the same block of every sample, as they come.

        The first keyframe is left out where the states give it: either all of them do, or none.

        Raises:
            PromptError: not even one clip fits behind the prompt.
        """
        writers = [_ClipWriter(self, state, count) for state in states]
        with ExitStack() as running:
            for clip in range(count):
                self._begin_runs(writers, running)
                given = clip == 0 and states[0].keyframe is not None
                for _ in self.grammar.video()[given:]:
                    yield [writer.next_block() for writer in writers]

    def _begin_runs(self, writers: Sequence[_ClipWriter], running: ExitStack) -> None:
        """Start what the language model writes next; samples for which as many clips fit run together."""
        waiting = [writer for writer in writers if not writer.blocks_left]
        plans = {id(writer): writer.plan() for writer in waiting}
        for fitting, number in sorted({(plans[id(one)].num_clips, one.clip) for one in waiting}):
            together = [one for one in waiting if (plans[id(one)].num_clips, one.clip) == (fitting, number)]
            given = together[0].keyframe_is_given
            blocks = self.grammar.video(fitting, number)[given:]
            contexts = [plans[id(writer)].read for writer in together]
            states, first = [writer.state for writer in together], [writer.clip for writer in together]
            run = running.enter_context(closing(_Run(self, states, contexts, blocks, first)))
            for index, writer in enumerate(together):
                writer.begin(run, index, len(contexts[index]), len(blocks))

    def _clips_per_keyframe(self) -> int:
        """Most clips that may share a keyframe: as many as are trained on, and no more than half of the context."""
        keyframe, motion = (block.max_ids + 2 for block in self.grammar.video())
        fitting = (self.model.language_model.context_length // 2 - keyframe) // motion
        return max(1, min(self.model.settings.video_processor.adaptive.clips_per_keyframe, fitting))

    def negative_prompts(self, states: Sequence[GenerationState]) -> list[Prompt | None]:
        """The negative prompt of each sample, where there is one."""
        texts = [state.options.negative_prompt or "" for state in states]
        for text in {text for text in texts if text.strip()} - set(self._negative):
            self._negative[text] = Prompt.from_ids(generation_prompt(self.model.language_model, text))
        return [self._negative.get(text) for text in texts]

    def codes(self, ids: Tensor, block: Block) -> Tensor:
        """Codes of a block with its special tokens; what cannot be decoded of unconstrained ids is left out."""
        vocabulary = self.model.vocabulary
        if block.modality is Modality.MOTION:
            return vocabulary.motion_codes(fit_motion(ids, self.grammar.motion_ids, vocabulary))
        return vocabulary.visual_codes(only_visual(ids, vocabulary)[: self.grammar.max_keyframe_ids])


@dataclass(frozen=True, slots=True)
class _Plan:
    read: Tensor
    """The part of the context that the language model reads."""
    num_clips: int
    """Clips that fit behind it."""


class _ClipWriter:
    """The clips of one sample: its context so far, and the run that writes its next blocks."""

    def __init__(self, generator: TokenGenerator, state: GenerationState, count: int) -> None:
        self.generator, self.state = generator, state
        self.context, self.clip, self.end = state.context, state.num_clips, state.num_clips + count
        self.blocks_left = 0

    @property
    def keyframe_is_given(self) -> bool:
        """The context ends in the keyframe of the clip that comes next."""
        return self.state.keyframe is not None and self.clip == self.state.num_clips

    def plan(self) -> _Plan:
        """Prompt to read, and the number of clips to write after it."""
        generator = self.generator
        longest = sum(block.max_ids + 2 for block in generator.grammar.video())
        length = generator.model.language_model.context_length
        known = self.clip + self.keyframe_is_given
        read = window(self.context, length - longest, known, generator.model.vocabulary)
        return _Plan(read, max(1, min(self.end - self.clip, (length - len(read)) // longest)))

    def begin(self, run: _Run, index: int, num_read: int, num_blocks: int) -> None:
        """Take the next blocks from sample `index` of a run, which read the last `num_read` ids of the context."""
        self._run, self._index, self._num_read = run, index, num_read
        self.blocks_left, self._before = num_blocks, self.context

    def next_block(self) -> GeneratedClipBlock:
        """The next block, behind the whole context."""
        block = self._run.next_block(self._index)
        self.context = torch.cat([self._before, block.context[self._num_read :]])
        self.blocks_left -= 1
        self.clip = block.clip + (block.modality is Modality.MOTION)
        return replace(block, context=self.context)


class _IdSource(Protocol):
    def block(self, sample: int, number: int) -> list[int]: ...
    def close(self) -> None: ...


class _Run:
    """The same blocks of several samples, written together by the language model where they have as many candidates."""

    def __init__(
        self,
        generator: TokenGenerator,
        states: Sequence[GenerationState],
        contexts: Sequence[Tensor],
        blocks: Sequence[Block],
        first_clips: Sequence[int],
    ) -> None:
        self.generator, self.blocks, self.first_clips = generator, blocks, first_clips
        self.contexts, self.written = list(contexts), [0] * len(states)
        self._sources: list[_IdSource] = []
        self._places: dict[int, tuple[_IdSource, int]] = {}
        """Of each sample, where its ids come from, and its number there."""
        for count in sorted({state.candidates for state in states}):
            together = [sample for sample, state in enumerate(states) if state.candidates == count]
            source = (_BestIds if count > 1 else _StreamedIds)(
                generator,
                [states[sample] for sample in together],
                [contexts[sample] for sample in together],
                blocks,
                # What goes on from earlier clips has random streams of its own.
                [f"ids {first_clips[sample]}" for sample in together],
            )
            self._sources.append(source)
            self._places |= {sample: (source, number) for number, sample in enumerate(together)}

    def next_block(self, sample: int) -> GeneratedClipBlock:
        """The next block of a sample."""
        number = self.written[sample]
        block = self.blocks[number]
        source, place = self._places[sample]
        ids = torch.tensor(source.block(place, number), dtype=torch.long)
        self.written[sample] += 1
        self.contexts[sample] = torch.cat([self.contexts[sample], ids])
        starts_with_motion = self.blocks[0].modality is Modality.MOTION
        return GeneratedClipBlock(
            clip=self.first_clips[sample] + (number + starts_with_motion) // 2,
            modality=block.modality,
            codes=self.generator.codes(ids, block),
            context=self.contexts[sample],
            is_left_out=block.optional and not len(ids),
        )

    def close(self) -> None:
        """Stop writing."""
        for source in self._sources:
            source.close()


class _StreamedIds:
    """Ids as they come: those of blocks that somebody waits for, and those of other samples in between."""

    def __init__(
        self,
        generator: TokenGenerator,
        states: Sequence[GenerationState],
        contexts: Sequence[Tensor],
        blocks: Sequence[Block],
        names: Sequence[str],
    ) -> None:
        self._progress, self._blocks = generator.progress, blocks
        self._closing = [block.closing(generator.model.vocabulary) for block in blocks]
        self._read: list[list[list[int]]] = [[[] for _ in blocks] for _ in states]
        self._complete = [0] * len(states)
        prompts = [Prompt.from_ids(context) for context in contexts]
        generators = [one for state, name in zip(states, names, strict=True) for one in state.options.generators(name)]
        sampling = states[0].options.sampling
        negative = generator.negative_prompts(states)
        self._ids: Any = stream(
            generator.model.language_model, prompts, blocks, sampling, generators, negative_prompts=negative
        )

    def block(self, sample: int, number: int) -> list[int]:
        """All ids of a block of a sample."""
        total = self._blocks[number].max_ids + 2
        with self._progress.step("generate", total) as report:
            while self._complete[sample] <= number:
                new = next(self._ids, None)
                if new is None:
                    break
                self._take(new)
                report(min(len(self._read[sample][number]), total))
            report(total)
        return self._read[sample][number]

    def _take(self, new: NewId) -> None:
        self._read[new.sample][new.block].append(new.id)
        # Unconstrained blocks need not close: then only an id of the next block tells that one has ended.
        self._complete[new.sample] = max(self._complete[new.sample], new.block + (new.id == self._closing[new.block]))

    def close(self) -> None:
        self._ids.close()


class _BestIds:
    """The best of several drafts of each sample, which are written together."""

    def __init__(
        self,
        generator: TokenGenerator,
        states: Sequence[GenerationState],
        contexts: Sequence[Tensor],
        blocks: Sequence[Block],
        names: Sequence[str],
    ) -> None:
        model, progress, count = generator.model, generator.progress, states[0].candidates
        generators = [
            one for state, name in zip(states, names, strict=True) for one in state.options.generators(name, count)
        ]
        prompts = [Prompt.from_ids(context) for context in contexts for _ in range(count)]
        negative = [one for one in generator.negative_prompts(states) for _ in range(count)]
        total = len(prompts) * sum(block.max_ids + 2 for block in blocks)
        with progress.step("generate", total) as report:
            done = itertools.count(1)

            def count_id(new: NewId) -> bool:
                report(next(done))
                return False  # go on

            sampling = states[0].options.sampling
            drafts = generate(model.language_model, prompts, blocks, sampling, generators, count_id, negative)
            report(total)
        self._generator, self._blocks = generator, []
        if model.known_things:
            with progress.step("load"):
                _ = model.keyframe_detokenizer, model.named
        with progress.step("rank", len(states)) as report:
            of_each = [drafts[first : first + count] for first in range(0, len(drafts), count)]
            recognised = self._recognised(states, of_each, blocks)
            for index, (state, own) in enumerate(zip(states, of_each, strict=True)):
                number = recognised.get(index)
                if number is None:
                    ids = [draft.ids for draft in own]
                    number = best_of(model.answering.language_model, contexts[index], ids, blocks, state.words)
                self._blocks.append(own[number].ids.split(_lengths(own[number], blocks, model.vocabulary)))
                report(index + 1)

    def _recognised(
        self, states: Sequence[GenerationState], drafts: Sequence[Sequence[Generated]], blocks: Sequence[Block]
    ) -> dict[int, int]:
        """Number of the best draft of each sample whose words name things that the model recognises when it draws."""
        known = self._generator.model.known_things
        if not known or blocks[0].modality is Modality.MOTION or blocks[0].optional:
            return {}
        named = {index: found for index, one in enumerate(states) if (found := named_things(known, one.words))}
        if not named:
            return {}
        codes = [[self._generator.codes(draft.blocks[0].ids, blocks[0]) for draft in drafts[index]] for index in named]
        options = [states[index].options for index in named]
        best = best_drawn(self._generator.model, options, codes, list(named.values()), states[0].num_clips)
        return dict(zip(named, best, strict=True))

    def block(self, sample: int, number: int) -> list[int]:
        """All ids of a block of a sample."""
        return self._blocks[sample][number].tolist()

    def close(self) -> None:
        """Nothing runs."""


def _lengths(draft: Any, blocks: Sequence[Block], vocabulary: Vocabulary) -> list[int]:
    """Numbers of ids of each block, special tokens included; 0 for one that is left out."""
    written, lengths = iter(draft.blocks), []
    block = next(written, None)
    for plan in blocks:
        if block is None or block.modality is not plan.modality:
            lengths.append(0)
            continue
        lengths.append(len(block.ids) + block.closed + (plan.opening(vocabulary) is not None))
        block = next(written, None)
    return lengths


def window(context: Int[Tensor, "n"], room: int, num_clips: int, vocabulary: Vocabulary) -> Int[Tensor, "m"]:
    """The prompt, and as many of the last of its `num_clips` clips as there is `room` for; the very last one stays.

    A clip begins with `[IMG]`, as images of the prompt do, which stand before all clips, or with the `[MOV]` of motion
    alone; what is left begins with a keyframe.
    """
    if len(context) <= room or num_clips < 2:
        return context
    has_keyframe = context == vocabulary.image_start
    motion_alone = context == vocabulary.motion_start
    motion_alone[1:] &= context[:-1] != vocabulary.image_end
    starts = (has_keyframe | motion_alone).nonzero()[:, 0][-num_clips:].tolist()
    prompt = context[: starts[0]]
    keyframes = [start for start in starts if has_keyframe[start]] or starts[-1:]
    kept = next((start for start in keyframes if len(prompt) + len(context) - start <= room), keyframes[-1])
    return torch.cat([prompt, context[kept:]])
