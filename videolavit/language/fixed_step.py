"""Steps of fixed sizes, so that a CUDA graph can be captured once and replayed at every id.

An eager step of a large model starts hundreds of kernels, which takes longer than reading the weights does. Rows and
columns are rounded up to powers of two; rows and columns that stand for nothing are masked or hold nothing. On a CPU
the same padded step is computed without a graph.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from videolavit.language.forward import LlamaForward
from videolavit.language.static_cache import NextIds, StaticCache

__all__ = ["FixedSteps"]

LEAST_COLUMNS = 256


class FixedSteps:
    """Steps over one cache, one for each size that came so far."""

    def __init__(self, cache: StaticCache) -> None:
        self._cache = cache
        self._steps: dict[tuple[int, int], _FixedStep] = {}
        self._made_for: tuple[LlamaForward, Tensor] | None = None

    def reserve(self, rows: int, columns: int) -> None:
        """Make room in the cache for a step of so many rows, of which the longest has so many columns."""
        self._cache.reserve(_rounded(rows, 1), _rounded(columns, LEAST_COLUMNS))

    def __call__(
        self, forward: LlamaForward, embeddings: Float[Tensor, "rows width"], lengths: Sequence[int]
    ) -> Float[Tensor, "rows width"]:
        """Hidden states of one new position in each of the first rows; the next call overwrites them."""
        made_for = self._made_for
        if made_for is None or made_for[0] is not forward or made_for[1] is not self._cache.tensor:
            self._steps = {}  # graphs hold addresses of weights and cache
            self._made_for = forward, self._cache.tensor
        size = _rounded(len(lengths), 1), _rounded(max(lengths) + 1, LEAST_COLUMNS)
        if size not in self._steps:
            self._steps[size] = _FixedStep(forward, self._cache, *size, embeddings)
        return self._steps[size](embeddings, lengths)


class _FixedStep:
    def __init__(self, forward: LlamaForward, cache: StaticCache, rows: int, columns: int, like: Tensor):
        self._forward, self._place = forward, _FixedPlace(cache, rows, columns)
        self._embeddings = like.new_zeros(rows, like.shape[1])
        self._hidden = self._embeddings
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, embeddings: Tensor, lengths: Sequence[int]) -> Tensor:
        self._embeddings[: len(lengths)] = embeddings
        self._place.set(lengths)
        if embeddings.device.type != "cuda":
            self._hidden = self._forward(self._embeddings, self._place)
        elif self._graph is None:
            self._capture()
        if self._graph is not None:
            self._graph.replay()
        return self._hidden[: len(lengths)]

    def _capture(self) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # what is allocated and chosen at first use must not be captured
            self._forward(self._embeddings, self._place)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._hidden = self._forward(self._embeddings, self._place)
        self._tables = self._forward.rotary.tables  # a longer table may take their place; the graph reads these


class _FixedPlace(NextIds):
    """`NextIds` in tensors that stay, to be filled anew at each step. Rows beyond those that run write to column 0."""

    def __init__(self, cache: StaticCache, rows: int, columns: int):
        super().__init__(cache, [0] * rows, rows, 0)
        self.end = columns
        self._mask = cache.tensor.new_zeros(rows, 1, 1, columns)
        self.groups = [(0, rows, columns, self._mask)]

    def set(self, lengths: Sequence[int]) -> None:
        padded = [*lengths, *[0] * (self.num_rows - len(lengths))]
        self.positions.copy_(torch.tensor(padded))
        self._mask.copy_(self.mask(0, self.num_rows, self.end))


def _rounded(number: int, least: int) -> int:
    """The next power of two, from `least` on."""
    return max(least, 1 << (number - 1).bit_length())
