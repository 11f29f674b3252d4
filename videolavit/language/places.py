"""Places of new positions in the cache, and the keys that they see: one id behind each of several rows, or prompts.

A forward pass knows neither. For every layer it hands queries, keys and values to a place, which writes keys and values
to the cache and gives back what attention makes of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from videolavit.language.static_cache import StaticCache

__all__ = ["Heads", "NextIds", "Place", "PromptBlock"]

LEAST_WASTE = 1 << 18
"""Bytes of unseen keys and values in one layer from which on short rows get an attention of their own: reading so many
takes about as long as another call."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heads:
    """Division of the width of attention into heads."""

    queries: int
    keys: int
    """Heads of keys, and as many of values; the queries are a multiple."""
    dim: int
    scale: float


class NextIds:
    """One new position in each of the first rows; row r has `lengths[r]` positions before it.

    New positions are flattened in the order row, position; `positions` is where each stands in its sequence.
    """

    def __init__(self, cache: StaticCache, lengths: Sequence[int], num_long: int, bytes_per_column: int):
        """Make masks for all layers. The rows from `num_long` on are expected to be short ones."""
        self.cache, self.num_rows, self.end = cache, len(lengths), max(lengths) + 1
        self.positions = torch.tensor(lengths, device=cache.tensor.device)
        self.rows = torch.arange(self.num_rows, device=cache.tensor.device)
        self.groups = [self._group(lengths, *rows) for rows in _divide(lengths, num_long, bytes_per_column)]

    def attend(
        self, layer: int, heads: Heads, states: Float[Tensor, "new all_heads dim"]
    ) -> Float[Tensor, "new width"]:
        """Attention of the new positions; `states` holds the heads of queries, keys and values, in that order."""
        self.cache.write_ids(layer, self.positions, self.rows, states[:, heads.queries :].unflatten(1, (2, heads.keys)))
        # The queries that share a key head stand where a sequence of queries would, so that keys need no copies.
        queries = states[:, : heads.queries].unflatten(1, (heads.keys, -1))
        seen = [
            F.scaled_dot_product_attention(
                queries[first:last], *self.cache.view(layer, first, last, width), attn_mask=mask, scale=heads.scale
            )
            for first, last, width, mask in self.groups
        ]
        return (seen[0] if len(seen) == 1 else torch.cat(seen)).flatten(1)

    def _group(self, lengths: Sequence[int], first: int, last: int) -> tuple[int, int, int, Tensor | None]:
        width = max(lengths[first:last]) + 1
        if min(lengths[first:last]) + 1 == width:
            return first, last, width, None
        return first, last, width, self.mask(first, last, width)

    def mask(self, first: int, last: int, width: int) -> Float[Tensor, "rows 1 1 width"]:
        """Mask that is added to the scores of some rows."""
        tensor = self.cache.tensor
        unseen = torch.arange(width, device=tensor.device) > self.positions[first:last, None]
        return tensor.new_zeros(unseen.shape).masked_fill_(unseen, torch.finfo(tensor.dtype).min)[:, None, None]


class PromptBlock:
    """Positions `start` to `start + new - 1` of neighbouring rows, all of whose earlier positions are in the cache.

    Rows of different lengths are filled up behind their ends, where no real position sees what is there and where the
    ids that follow will be written.
    """

    def __init__(self, cache: StaticCache, first_row: int, rows: int, start: int, new: int):
        self.cache, self.first_row, self.num_rows, self.start, self.new = cache, first_row, rows, start, new
        self.end = start + new
        columns = torch.arange(start, start + new, device=cache.tensor.device)
        self.positions = columns.repeat(rows)

    def attend(
        self, layer: int, heads: Heads, states: Float[Tensor, "new all_heads dim"]
    ) -> Float[Tensor, "new width"]:
        """As `NextIds.attend`."""
        by_row = states.unflatten(0, (self.num_rows, self.new)).transpose(1, 2)
        queries, keys_and_values = by_row[:, : heads.queries], by_row[:, heads.queries :].unflatten(1, (2, heads.keys))
        self.cache.write_block(layer, self.first_row, self.start, keys_and_values)
        keys, values = self._seen(layer, keys_and_values)
        seen = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=self.mask() if self.start else None,
            is_causal=not self.start,
            scale=heads.scale,
            enable_gqa=heads.queries != heads.keys,
        )
        return seen.transpose(1, 2).flatten(0, 1).flatten(1)

    def mask(self) -> Float[Tensor, "new all"]:
        """Mask that is added to the scores."""
        tensor = self.cache.tensor
        unseen = torch.full(
            (self.new, self.end), torch.finfo(tensor.dtype).min, dtype=tensor.dtype, device=tensor.device
        )
        return unseen.triu_(self.start + 1)

    def _seen(self, layer: int, keys_and_values: Tensor) -> tuple[Tensor, Tensor]:
        if not self.start:
            return keys_and_values[:, 0], keys_and_values[:, 1]
        return self.cache.view(layer, self.first_row, self.first_row + self.num_rows, self.end)


Place = NextIds | PromptBlock


def _divide(lengths: Sequence[int], num_long: int, bytes_per_column: int) -> list[tuple[int, int]]:
    """All rows together, or the short ones on their own where the others would make them read much in vain."""
    if not 0 < num_long < len(lengths):
        return [(0, len(lengths))]
    waste = (max(lengths[:num_long]) - max(lengths[num_long:])) * (len(lengths) - num_long) * bytes_per_column
    if waste < LEAST_WASTE:
        return [(0, len(lengths))]
    return [(0, num_long), (num_long, len(lengths))]
