"""The last prompt that was read, so that one which begins like it is read from where they part.

Questions about one video differ behind the video only, and a conversation goes on where it was. What a model has
computed of the common beginning is the same, but for the last bits of its numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from videolavit.language.row_cache import RowCache

__all__ = ["PromptCache"]


class PromptCache:
    """Keys and values of one prompt, known again by its embeddings. It belongs to one model with one set of weights."""

    def __init__(self) -> None:
        self._embeddings: Tensor | None = None
        self._layers: list[tuple[Tensor, Tensor]] = []

    def __repr__(self) -> str:
        return f"PromptCache({0 if self._embeddings is None else len(self._embeddings)} positions)"

    def forget(self) -> None:
        """Drop everything."""
        self._embeddings, self._layers = None, []

    def common_length(self, prompts: Sequence[Float[Tensor, "_ width"]]) -> int:
        """How many first positions all of these prompts share with the one that is kept.

        The last position of each is left out: its hidden state is needed, and no cache holds that.
        """
        kept = self._embeddings
        if kept is None:
            return 0
        return min(_common_length(kept, prompt[:-1]) for prompt in prompts)

    def begin(self, cache: RowCache, length: int, rows: int) -> None:
        """Put the first `length` positions into the first `rows` rows of an empty cache."""
        cache.begin([(keys[:, :, :length], values[:, :, :length]) for keys, values in self._layers], rows)

    def keep(self, embeddings: Float[Tensor, "length width"], cache: RowCache, columns: Tensor) -> None:
        """Keep what the first row of a cache holds of a prompt, in these of its columns."""
        self._embeddings = embeddings.clone()
        self._layers = cache.columns_of_first_row(columns)


def _common_length(one: Tensor, other: Tensor) -> int:
    if one.dtype != other.dtype or one.device != other.device or one.shape[1] != other.shape[1]:
        return 0
    length = min(len(one), len(other))
    equal = (one[:length] == other[:length]).all(dim=1)
    return int(torch.cumprod(equal.int(), dim=0).sum())
