"""Decoding: prompts in, ids out, one forward per step for the whole batch (reference section 7).

Every sample walks through its own blocks (`videolavit.language.grammar`): one may already draw motion while another is
still at its keyframe. A batch of b guided samples is 2 b rows of one forward: b conditional ones, which see their
prompt and all that followed, and b unconditional ones, which see the current block's opening mark and what followed it.
All rows share the columns of one cache; what a row sees is a mask. Restarting the unconditional branch at a
mark is therefore only a change of mask and position, and nothing is ever encoded twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from videolavit.errors import PromptError
from videolavit.language.grammar import Block, Modality, Walk
from videolavit.language.language_model import LanguageModel, left_pad
from videolavit.language.prompt_cache import PromptCache
from videolavit.language.prompts import Prompt
from videolavit.language.row_cache import COLUMNS_PER_CHUNK, RowCache
from videolavit.language.sampling import Sampling, SamplingOptions, choose, guided

__all__ = ["Generated", "GeneratedBlock", "NewId", "generate", "stream"]


@dataclass(frozen=True, slots=True)
class NewId:
    """One id, as it comes."""

    sample: int
    """Index of the prompt."""
    block: int
    """Index of the block that the id belongs to; marks belong to the block they open or close."""
    id: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GeneratedBlock:
    """What was written for one block."""

    modality: Modality
    ids: Int[Tensor, "n"]
    """Without the opening and closing mark."""
    closed: bool
    """Whether the closing mark came."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Generated:
    """What was written after one prompt."""

    ids: Int[Tensor, "n"]
    """All new ids, marks included. Prompt and these together are the context of what follows."""
    blocks: tuple[GeneratedBlock, ...]
    finished: bool
    """Whether every block was written; False where `should_stop` ended the sample early."""

    def of(self, modality: Modality) -> list[Int[Tensor, "_"]]:
        """Contents of the blocks of one modality, in order."""
        return [block.ids for block in self.blocks if block.modality == modality]


def generate(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    blocks: Sequence[Block],
    sampling: Sampling | None = None,
    generators: Sequence[torch.Generator] | None = None,
    should_stop: Callable[[NewId], bool] | None = None,
) -> list[Generated]:
    """Write `blocks` after every prompt; takes and raises what `stream` does."""
    decoder = _Decoder(model, prompts, blocks, sampling or Sampling(), generators)
    walks = [sample.walk for sample in decoder.samples]
    written: list[list[NewId]] = [[] for _ in prompts]
    for new in _run(decoder, should_stop):
        written[new.sample].append(new)
    return [_generated(ids, walk) for ids, walk in zip(written, walks, strict=True)]


def stream(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    blocks: Sequence[Block],
    sampling: Sampling | None = None,
    generators: Sequence[torch.Generator] | None = None,
    should_stop: Callable[[NewId], bool] | None = None,
    prompt_cache: PromptCache | None = None,
) -> Iterator[NewId]:
    """Write `blocks` after every prompt and give each id as it comes, marks included.

    Where the context comes to its end, keyframes and texts are kept short enough for all later blocks to fit.

    Args:
        model: the language model; it is in evaluation mode while this runs.
        prompts: one or more, of any lengths; keyframes and motion are opened by their marks, so a prompt ends before.
        blocks: what to write, the same for every prompt.
        sampling: how ids are chosen; by default as the released model does for text to video.
        generators: one per prompt, the only source of randomness of that prompt; None takes torch's global one.
        should_stop: called with every id; True ends that sample after it. To end all, stop iterating.
        prompt_cache: prompts are read from where they part from the one in there, and the first one is kept in it.

    Raises:
        PromptError: no prompt, a prompt too long for the context, features of another width, or as many generators
            as there are not prompts.
        VocabularyError: an id of a prompt is not in the vocabulary.
        GenerationError: the model's logits are not finite.
    """
    return _run(_Decoder(model, prompts, blocks, sampling or Sampling(), generators, prompt_cache), should_stop)


def _run(decoder: _Decoder, should_stop: Callable[[NewId], bool] | None) -> Iterator[NewId]:
    model = decoder.model
    was_training = model.training
    if was_training:
        model.eval()
    try:
        decoder.read()
        while decoder.samples:
            new_ids = decoder.choose()
            stopped = set()
            for new in new_ids:
                yield new
                if should_stop is not None and should_stop(new):
                    stopped.add(new.sample)
            decoder.go_on([new.id for new in new_ids], stopped)
    finally:
        if was_training:
            model.train()


@dataclass(kw_only=True, slots=True, eq=False)
class _Sample:
    index: int
    walk: Walk
    generator: torch.Generator | None


class _Decoder:
    """The running batch. Rows 0 to b - 1 are conditional, rows b to 2 b - 1 unconditional if anything is guided."""

    def __init__(
        self,
        model: LanguageModel,
        prompts: Sequence[Prompt],
        blocks: Sequence[Block],
        sampling: Sampling,
        generators: Sequence[torch.Generator] | None,
        prompt_cache: PromptCache | None = None,
    ):
        _check(prompts, generators)
        self.prompt_cache = prompt_cache
        self.model, self.sampling, self.prompts = model, sampling, prompts
        self.samples = [
            _Sample(
                index=index,
                walk=Walk(blocks, model.vocabulary, model.context_length - len(prompt)),
                generator=None if generators is None else generators[index],
            )
            for index, prompt in enumerate(prompts)
        ]
        self.guided = any(self._options(block).guidance != 1 for block in blocks)

    @torch.inference_mode()
    def read(self) -> None:
        """Encode the prompts into the conditional rows; the unconditional ones see none of it."""
        batch = len(self.prompts)
        num_rows = 2 * batch if self.guided else batch
        prompts = [self.model.embed(prompt) for prompt in self.prompts]
        self.cache = RowCache(self.model.num_layers, num_rows)
        known = self._begin(prompts)
        embeddings, mask, positions = left_pad([prompt[known:] for prompt in prompts])
        positions = positions + known
        if known or mask is not None:
            real = torch.ones_like(positions, dtype=torch.bool) if mask is None else mask
            mask = torch.cat([real.new_ones(batch, known), real], dim=1)
        self.hidden = self.model.hidden(embeddings, mask, positions, self.cache)[:, -1]
        self.column = known + embeddings.shape[1]
        self.positions = positions.new_zeros(num_rows)
        self.positions[:batch] = positions[:, -1] + 1
        self.mask = embeddings.new_zeros(num_rows, 1, 1, self.column + COLUMNS_PER_CHUNK)
        self.mask[batch:, ..., : self.column] = self._unseen
        if mask is not None:
            self.mask[:batch, 0, 0, : self.column].masked_fill_(~mask, self._unseen)
        if self.prompt_cache is not None:
            columns = torch.arange(self.column, device=positions.device)
            self.prompt_cache.keep(prompts[0], self.cache, columns if mask is None else columns[mask[0]])

    def _begin(self, prompts: Sequence[Tensor]) -> int:
        """Put what is known of all prompts into the cache; how many positions that are."""
        if self.prompt_cache is None:
            return 0
        known = self.prompt_cache.common_length(prompts)
        if known:
            self.prompt_cache.begin(self.cache, known, len(prompts))
        return known

    @torch.inference_mode()
    def choose(self) -> list[NewId]:
        """The next id of every sample."""
        chosen: dict[int, int] = {}
        waiting: dict[Block, list[int]] = {}
        for row, sample in enumerate(self.samples):
            forced = sample.walk.forced
            if forced is None:
                waiting.setdefault(sample.walk.block, []).append(row)
            else:
                chosen[row] = forced
        for block, rows in waiting.items():
            chosen |= zip(rows, self._choose_in(block, rows), strict=True)
        return [NewId(sample.index, sample.walk.index, chosen[row]) for row, sample in enumerate(self.samples)]

    @torch.inference_mode()
    def go_on(self, ids: Sequence[int], stopped: set[int]) -> None:
        """Take the ids that were chosen, drop the samples that are done, and compute what may follow."""
        opened = [sample.walk.at_opening for sample in self.samples]
        for sample, new_id in zip(self.samples, ids, strict=True):
            sample.walk.take(new_id)
        kept = [
            row for row, sample in enumerate(self.samples) if not sample.walk.finished and sample.index not in stopped
        ]
        if len(kept) < len(self.samples):
            self._keep(kept)
        if kept:
            self._forward([ids[row] for row in kept], [opened[row] for row in kept])

    def _options(self, block: Block) -> SamplingOptions:
        return getattr(self.sampling, block.modality.value)

    @property
    def _unseen(self) -> float:
        return torch.finfo(self.model.dtype).min

    def _choose_in(self, block: Block, rows: list[int]) -> list[int]:
        """Ids of the samples in `rows`, all of which are inside such a block and have a choice."""
        options, vocabulary = self._options(block), self.model.vocabulary
        choices = block.choices(vocabulary)
        scores = self._scores(choices, rows, options.guidance)
        closing = _column(block.closing(vocabulary), choices)
        too_early = [place for place, row in enumerate(rows) if not self.samples[row].walk.may_close]
        if too_early:
            scores[too_early, closing] = -torch.inf
        generators = [generator for row in rows if (generator := self.samples[row].generator) is not None]
        columns = choose(scores, options, generators or None)
        return [_id(column, choices) for column in columns.tolist()]

    def _scores(self, choices: tuple[range, ...], rows: list[int], guidance: float) -> Float[Tensor, "rows ids"]:
        batch = len(self.samples)
        is_guided = guidance != 1
        if len(rows) < batch or (self.guided and not is_guided):
            hidden = self.hidden[rows + [batch + row for row in rows] if is_guided else rows]
        else:
            hidden = self.hidden
        scores = self.model.logits(hidden, choices)
        scores = scores if scores.dtype == torch.float64 else scores.float()
        if not is_guided:
            return scores
        conditional, unconditional = scores.chunk(2)
        return guided(conditional, unconditional, guidance)

    def _forward(self, ids: list[int], opened: list[bool]) -> None:
        """Feed one id per sample, to both of its rows; an opening mark starts its unconditional row anew."""
        batch = len(self.samples)
        self._reserve()
        if self.guided and any(opened):
            restarted = [batch + row for row in range(batch) if opened[row]]
            self.mask[restarted, ..., : self.column] = self._unseen
            self.positions[restarted] = 0
        both = torch.tensor(ids * 2 if self.guided else ids, device=self.model.device)
        embeddings = self.model.causal_lm.get_input_embeddings()(both)[:, None]
        self.column += 1
        mask = self.mask[..., : self.column]
        self.hidden = self.model.hidden(embeddings, mask, self.positions[:, None], self.cache)[:, 0]
        self.positions += 1

    def _reserve(self) -> None:
        if self.column == self.mask.shape[-1]:
            more = self.mask.new_zeros(*self.mask.shape[:-1], COLUMNS_PER_CHUNK)
            self.mask = torch.cat([self.mask, more], dim=-1)

    def _keep(self, samples: list[int]) -> None:
        batch = len(self.samples)
        self.samples = [self.samples[row] for row in samples]
        rows = samples + [batch + row for row in samples] if self.guided else samples
        if not rows:
            return
        index = torch.tensor(rows, device=self.mask.device)
        self.mask, self.positions = self.mask[index], self.positions[index]
        self.cache.keep_rows(index)


def _column(new_id: int, choices: tuple[range, ...]) -> int:
    """Where an id stands among the choices."""
    offset = 0
    for part in choices:
        if new_id in part:
            return offset + new_id - part.start
        offset += len(part)
    raise AssertionError(f"{new_id} is not among {choices}")


def _id(column: int, choices: tuple[range, ...]) -> int:
    for part in choices:
        if column < len(part):
            return part[column]
        column -= len(part)
    raise AssertionError("a column beyond the choices")


def _generated(written: list[NewId], walk: Walk) -> Generated:
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


def _check(prompts: Sequence[Prompt], generators: Sequence[torch.Generator] | None) -> None:
    if not prompts:
        raise PromptError("got no prompt, expected at least one")
    if generators is not None and len(generators) != len(prompts):
        raise PromptError(f"got {len(generators)} generators for {len(prompts)} prompts, expected one for each")
