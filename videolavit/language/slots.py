"""Running sequences in the rows of one cache: how they come, go on by one id each, and go.

A sequence has one row, and a second one while it writes a guided block: the unconditional branch, which sees the
opening special token of the block and what followed it, and not the prompt; a negative prompt, if there is one, stands
in front of it. Rows are kept dense, sequences first and unconditional branches behind them, so that a step computes no
row in vain: the last of its kind takes the place of one that leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from videolavit.language.fixed_step import FixedSteps
from videolavit.language.forward import LlamaForward, is_llama_shaped, llama_forward
from videolavit.language.language_model import LanguageModel
from videolavit.language.prompt_cache import PromptCache
from videolavit.language.static_cache import NextIds, PromptBlock, StaticCache

__all__ = ["Slot", "Slots"]

Forward = Callable[[Tensor, Any], Tensor]
"""A `LlamaForward`, or a `TransformersForward` for other backbones; both have `heads`."""

PADDING_SHARE = 0.25
"""Prompts are read together as long as at most this share of the positions is padding."""
MOST_POSITIONS = 8192
"""Prompts are read together up to so many positions."""


@dataclass(kw_only=True, slots=True, eq=False)
class Slot:
    """One running sequence."""

    owner: Any
    length: int = 0
    """Positions in its row."""
    unconditional_length: int = 0
    negative_prompt: Tensor | None = None
    """Embeddings, (length, width), in front of its unconditional branch."""
    next_id: int | None = None
    """Ids that were chosen and are not in the cache yet."""
    restarts: bool = False
    """True if `next_id` begins an unconditional branch."""
    hidden: Tensor = field(default_factory=lambda: torch.empty(0))
    """Hidden state of the last position, (width)."""
    unconditional_hidden: Tensor = field(default_factory=lambda: torch.empty(0))


class Slots:
    """The rows of one language model. Call it in inference mode."""

    def __init__(
        self, model: LanguageModel, num_slots: int, prompt_cache: PromptCache | None = None, graphs: bool = False
    ):
        self.model, self.num_slots, self.prompt_cache, self.graphs = model, num_slots, prompt_cache, graphs
        self.running: list[Slot] = []
        """In row order."""
        self.guided: list[Slot] = []
        """Those with an unconditional branch, in the order of its rows."""
        self._cache: StaticCache | None = None
        self._fixed_steps: FixedSteps | None = None

    def read(self, prompts: Sequence[tuple[Slot, Float[Tensor, "_ width"]]]) -> None:
        """Start sequences with the embeddings of their prompts."""
        forward = self._forward()
        prefixes = [None if self.prompt_cache is None else self.prompt_cache.prefix(prompt) for _, prompt in prompts]
        known = [0 if prefix is None else prefix.shape[3] for prefix in prefixes]
        for group in _groups([len(prompt) for _, prompt in prompts], known):
            self._read_block(forward, [prompts[index] for index in group], [prefixes[index] for index in group])
        if self.prompt_cache is not None:
            for slot, prompt in reversed(prompts[: self.prompt_cache.size]):
                prefix = self.cache.prefix(self.running.index(slot), len(prompt))
                self.prompt_cache.keep(prompt, prefix)

    def go_on(self) -> None:
        """Put the next id of every sequence into the cache, and compute what may follow."""
        forward = self._forward_of_step
        for slot in self.running:
            if slot.restarts:
                self._begin_unconditional(forward, slot)
        lengths = [slot.length for slot in self.running] + [slot.unconditional_length for slot in self.guided]
        ids = torch.tensor([slot.next_id for slot in (*self.running, *self.guided)], device=self.model.device)
        embeddings = self.model.causal_lm.get_input_embeddings()(ids)
        hidden = self._step(forward, embeddings, lengths).unbind(0)
        for slot, state in zip(self.running, hidden, strict=False):
            slot.hidden, slot.next_id = state, None
            slot.length += 1
        for slot, state in zip(self.guided, hidden[len(self.running) :], strict=True):
            slot.unconditional_hidden = state
            slot.unconditional_length += 1

    def _step(self, forward: Forward, embeddings: Tensor, lengths: list[int]) -> Tensor:
        if self._fixed_steps is not None and isinstance(forward, LlamaForward):
            self._fixed_steps.reserve(len(lengths), max(lengths) + 1)
            return self._fixed_steps(forward, embeddings, lengths)
        self.cache.reserve(len(lengths), max(lengths) + 1)
        return forward(embeddings, NextIds(self.cache, lengths, len(self.running), self._bytes_per_column))

    def end_guidance(self, slot: Slot) -> None:
        """Drop the unconditional branch of a sequence, if it has one."""
        if slot not in self.guided:
            return
        first, place, last = len(self.running), self.guided.index(slot), len(self.guided) - 1
        self.cache.move(first + last, first + place, self.guided[last].unconditional_length)
        self.guided[place] = self.guided[last]
        self.guided.pop()

    def release(self, slot: Slot) -> None:
        """Forget a sequence."""
        self.end_guidance(slot)
        place, last = self.running.index(slot), len(self.running) - 1
        self.cache.move(last, place, self.running[last].length)
        self.running[place] = self.running[last]
        self.running.pop()
        if self.guided:  # the last unconditional branch goes where the last sequence was
            self.cache.move(last + len(self.guided), last, self.guided[-1].unconditional_length)
            self.guided.insert(0, self.guided.pop())

    @property
    def cache(self) -> StaticCache:
        assert self._cache is not None, "nothing was read yet"
        return self._cache

    @property
    def _bytes_per_column(self) -> int:
        _, heads, dim = self.cache.shape
        return 2 * heads * dim * self.cache.tensor.element_size()

    def _forward(self) -> Forward:
        """For a step over weights that may have been replaced since the last one."""
        decoder, model = self.model.causal_lm.get_decoder(), self.model
        if is_llama_shaped(decoder):
            forward: Any = llama_forward(decoder)
        else:
            from videolavit.language.transformers_forward import TransformersForward  # imports transformers

            forward = TransformersForward(decoder, model.causal_lm.config.get_text_config())
        if self._cache is None:
            self._cache = StaticCache(
                model.num_layers, forward.heads.keys, forward.heads.dim, model.dtype, model.device
            )
            self._fixed_steps = FixedSteps(self._cache) if self.graphs else None
        self._forward_of_step = forward
        return forward

    def _read_block(
        self, forward: Forward, prompts: Sequence[tuple[Slot, Tensor]], prefixes: Sequence[Tensor | None]
    ) -> None:
        """Read prompts as one block of rows, their first positions from prefixes of one common length."""
        known = 0 if prefixes[0] is None else prefixes[0].shape[3]
        first, longest = len(self.running), max(len(prompt) for _, prompt in prompts)
        self.cache.reserve(max(first + len(prompts) + len(self.guided), self.num_slots), longest)
        for slot, _ in prompts:
            self._make_room(slot)
        for row, prefix in enumerate(prefixes, first):
            if prefix is not None:
                self.cache.put(row, prefix)
        new = torch.stack([F.pad(prompt[known:], (0, 0, 0, longest - len(prompt))) for _, prompt in prompts])
        place = PromptBlock(self.cache, first, len(prompts), known, longest - known)
        hidden = forward(new.flatten(0, 1), place).unflatten(0, (len(prompts), -1))
        for (slot, prompt), states in zip(prompts, hidden, strict=True):
            slot.length, slot.hidden = len(prompt), states[len(prompt) - known - 1]

    def _make_room(self, slot: Slot) -> None:
        """A row for a sequence, behind those that run."""
        if self.guided:  # the first unconditional branch goes behind the last one
            first = len(self.running)
            self.cache.move(first, first + len(self.guided), self.guided[0].unconditional_length)
            self.guided.append(self.guided.pop(0))
        self.running.append(slot)

    def _begin_unconditional(self, forward: Forward, slot: Slot) -> None:
        slot.restarts, slot.unconditional_length = False, 0
        if slot not in self.guided:
            self.cache.reserve(max(len(self.running) + len(self.guided) + 1, 2 * self.num_slots), 0)
            self.guided.append(slot)
        if slot.negative_prompt is not None:
            self._read_negative(forward, slot, slot.negative_prompt)

    def _read_negative(self, forward: Forward, slot: Slot, prompt: Tensor) -> None:
        """Put a negative prompt at the beginning of an unconditional branch."""
        row = len(self.running) + self.guided.index(slot)
        self.cache.reserve(row + 1, len(prompt))
        forward(prompt, PromptBlock(self.cache, row, 1, 0, len(prompt)))
        slot.unconditional_length = len(prompt)


def _groups(lengths: Sequence[int], known: Sequence[int]) -> list[list[int]]:
    """Indices of prompts that are read together: of like lengths, and with equally much to be read."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (known[index], lengths[index], index)):
        group = [*groups[-1], index] if groups else [index]
        area = len(group) * (lengths[index] - known[index])
        used = sum(lengths[member] - known[member] for member in group)
        alike = known[group[0]] == known[index] and (area - used) <= PADDING_SHARE * area and area <= MOST_POSITIONS
        if groups and alike:
            groups[-1] = group
        else:
            groups.append([index])
    return groups
