"""Keys and values of a running batch, for rows that share columns but not what they see.

transformers' caches either copy all columns at every step (dynamic) or reserve and attend to all of them (static).
This one grows in chunks, hands out views, and can drop the rows of samples that are finished. Which columns a row may
see is the business of the attention mask, so padding and restarted branches cost nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

__all__ = ["COLUMNS_PER_CHUNK", "RowCache"]

COLUMNS_PER_CHUNK = 256
"""The cache grows by this many columns: rarely enough that copying is no cost, and never far beyond what is used."""


class RowCache(Cache):
    """Cache of `num_rows` rows. A forward with fewer rows fills the first ones; the others keep zeros there."""

    def __init__(self, num_layers: int, num_rows: int):
        self._rows = [_RowLayer(num_rows) for _ in range(num_layers)]
        super().__init__(layers=list(self._rows))

    def begin(self, layers: Sequence[tuple[Tensor, Tensor]], rows: int) -> None:
        """Fill the first `rows` rows, which are empty, with keys and values of one row for every layer."""
        for layer, (keys, values) in zip(self._rows, layers, strict=True):
            layer.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1))

    def columns_of_first_row(self, columns: Int[Tensor, "n"]) -> list[tuple[Tensor, Tensor]]:
        """Copies of keys and values of every layer, (1, heads, n, dim)."""
        return [(layer.keys[:1, :, columns], layer.values[:1, :, columns]) for layer in self._rows]

    def keep_rows(self, rows: Int[Tensor, "kept"]) -> None:
        """Forget every row but these."""
        for layer in self._rows:
            layer.keep_rows(rows)


class _RowLayer(CacheLayerMixin):
    keys: Any
    values: Any
    is_sliding = False

    def __init__(self, num_rows: int):
        super().__init__()
        self.num_rows = num_rows
        self.length = 0

    def lazy_initialization(
        self,
        key_states: Float[Tensor, "rows heads columns dim"],
        value_states: Float[Tensor, "rows heads columns value_dim"],
    ) -> None:
        self.keys, self.values = (self._zeros(states, 0) for states in (key_states, value_states))
        self.is_initialized = True

    def update(
        self,
        key_states: Float[Tensor, "rows heads columns dim"],
        value_states: Float[Tensor, "rows heads columns value_dim"],
        *args: object,
        **kwargs: object,
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows, start, end = key_states.shape[0], self.length, self.length + key_states.shape[2]
        self._reserve(end)
        self.keys[:rows, :, start:end] = key_states
        self.values[:rows, :, start:end] = value_states
        self.length = end
        return self.keys[:rows, :, :end], self.values[:rows, :, :end]

    def keep_rows(self, rows: Tensor) -> None:
        self.num_rows = len(rows)
        self.keys, self.values = self.keys[rows], self.values[rows]

    def get_seq_length(self) -> int:
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_max_length(self) -> int:
        return -1

    def _reserve(self, columns: int) -> None:
        missing = columns - self.keys.shape[2]
        if missing > 0:
            more = -(-missing // COLUMNS_PER_CHUNK) * COLUMNS_PER_CHUNK
            self.keys = torch.cat([self.keys, self._zeros(self.keys, more)], dim=2)
            self.values = torch.cat([self.values, self._zeros(self.values, more)], dim=2)

    def _zeros(self, like: Tensor, columns: int) -> Tensor:
        # Zeros, not empty: a masked column still takes part as 0 * value, and uninitialised memory may hold NaN.
        return like.new_zeros(self.num_rows, like.shape[1], columns, like.shape[3])
