"""Keys and values of running sequences: one tensor that is written in place.

Row r holds one sequence, its position p in column p, so a row's length says all about what may be seen of it.
Nothing moves when a sequence grows. Columns are added in chunks, and what stands beyond a row's length is never seen.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["COLUMNS_PER_CHUNK", "StaticCache"]

COLUMNS_PER_CHUNK = 256
"""Columns are added by this many: rarely enough that copying is no cost, and never far beyond what is used."""


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
