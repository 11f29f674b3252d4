"""Keys and values of running sequences: one tensor that is written in place, and the places in it of new positions.

Row r holds one sequence, its position p in column p, so a row's length says all about what may be seen of it.
Nothing moves when a sequence grows. Columns are added in chunks, and what stands beyond a row's length is never seen.

A forward pass knows nothing of rows. For every layer it hands queries, keys and values to a place (one id behind each
of several rows, or prompts), which writes keys and values to the cache and gives back what attention makes of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["COLUMNS_PER_CHUNK", "Heads", "NextIds", "Place", "PromptBlock", "StaticCache"]

COLUMNS_PER_CHUNK = 256
"""Columns are added by this many: rarely enough that copying is no cost, and never far beyond what is used."""
LEAST_WASTE = 1 << 18
"""Bytes of unseen keys and values in one layer from which on short rows get an attention of their own: reading so many
takes about as long as another call."""


class StaticCache:
    """Keys and values as (layers, rows, 2, heads, columns, dim); index 0 of the third axis is keys, 1 values."""

    def __init__(self, layers: int, heads: int, dim: int, dtype: torch.dtype, device: torch.device):
        self.shape = layers, heads, dim
        self.tensor = torch.zeros(layers, 0, 2, heads, 0, dim, dtype=dtype, device=device)
        self.layers: tuple[Tensor, ...] = self.tensor.unbind(0)
        """Views, one per layer, (rows, 2, heads, columns, dim)."""

    @property
    def rows(self) -> int:
        return self.tensor.shape[1]

    @property
    def columns(self) -> int:
        return self.tensor.shape[4]

    def reserve(self, rows: int, columns: int) -> None:
        """Make room for so many rows and columns; what is there stays."""
        if rows <= self.rows and columns <= self.columns:
            return
        columns = max(self.columns, -(-columns // COLUMNS_PER_CHUNK) * COLUMNS_PER_CHUNK)
        layers, heads, dim = self.shape
        # Zeros, not empty: an unseen column still takes part as 0 * value, and uninitialised memory may hold NaN.
        larger = self.tensor.new_zeros(layers, max(rows, self.rows), 2, heads, columns, dim)
        larger[:, : self.rows, :, :, : self.columns] = self.tensor
        self.tensor = larger
        self.layers = larger.unbind(0)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` columns of one row over those of another."""
        if source != target:
            self.tensor[:, target, :, :, :length] = self.tensor[:, source, :, :, :length]

    def prefix(self, row: int, length: int) -> Float[Tensor, "layers 2 heads length dim"]:
        """A copy of the first columns of a row."""
        return self.tensor[:, row, :, :, :length].clone()

    def put(self, row: int, prefix: Float[Tensor, "layers 2 heads length dim"]) -> None:
        """Begin a row with what `prefix` gave."""
        self.tensor[:, row, :, :, : prefix.shape[3]] = prefix

    def write_ids(
        self,
        layer: int,
        columns: Int[Tensor, "rows"],
        index: Int[Tensor, "rows"],
        states: Float[Tensor, "rows 2 heads dim"],
    ) -> None:
        """One new column for each of the first rows, each at its own place."""
        self.layers[layer][index, :, :, columns] = states

    def write_block(
        self, layer: int, first_row: int, start: int, states: Float[Tensor, "rows 2 heads new dim"]
    ) -> None:
        """Several new columns, at the same place in neighbouring rows."""
        rows, new = states.shape[0], states.shape[3]
        self.layers[layer][first_row : first_row + rows, :, :, start : start + new] = states

    def view(self, layer: int, first_row: int, last_row: int, columns: int) -> tuple[Tensor, Tensor]:
        """Keys and values of neighbouring rows, (rows, heads, columns, dim) each; `last_row` is not among them."""
        states = self.layers[layer][first_row:last_row, :, :, :columns]
        return states[:, 0], states[:, 1]


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
