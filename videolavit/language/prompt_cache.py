"""The last prompts that were read, so that one which begins like one of them is read from where they part.

Questions about one video differ behind the video only, and a conversation goes on where it was. What a model has
computed of the common beginning is the same, but for the last bits of its numbers.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["PromptCache"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Kept:
    embeddings: Float[Tensor, "length width"]
    states: Float[Tensor, "layers 2 heads length dim"]


class PromptCache:
    """Keys and values of a few prompts, known again by their embeddings; for one model with one set of weights."""

    def __init__(self, size: int = 1) -> None:
        """Remember the last `size` prompts."""
        self.size = size
        self._kept: list[_Kept] = []
        """The latest first. Replaced as a whole, so that a thread that searches it finds it unchanged."""
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[PromptCache], tuple[int]]:
        return PromptCache, (self.size,)  # a copy begins empty: locks cannot be copied

    def __repr__(self) -> str:
        return f"PromptCache({sum(len(kept.embeddings) for kept in self._kept)} positions)"

    def forget(self) -> None:
        """Drop everything."""
        self._kept = []

    def prefix(self, prompt: Float[Tensor, "_ width"]) -> Float[Tensor, "layers 2 heads length dim"] | None:
        """Keys and values of the first positions that a prompt shares with one that is kept; None if it shares none.

        They stay valid whatever other threads keep meanwhile. The last position of the prompt is left out: its hidden
        state is needed, and no cache holds that.
        """
        shared = [(_common_length(kept.embeddings, prompt[:-1]), kept) for kept in self._kept]
        length, best = max(shared, key=lambda one: one[0], default=(0, None))
        return best.states[:, :, :, :length] if best is not None and length else None

    def keep(
        self, embeddings: Float[Tensor, "length width"], states: Float[Tensor, "layers 2 heads length dim"]
    ) -> None:
        """Keep what a model has computed of a prompt; those that it goes on from are no longer needed."""
        new = _Kept(embeddings=embeddings.clone(), states=states)
        with self._lock:
            others = [kept for kept in self._kept if _common_length(kept.embeddings, embeddings) < len(kept.embeddings)]
            self._kept = [new, *others][: self.size]


def _common_length(one: Tensor, other: Tensor) -> int:
    if one.dtype != other.dtype or one.device != other.device or one.shape[1] != other.shape[1]:
        return 0
    length = min(len(one), len(other))
    equal = (one[:length] == other[:length]).all(dim=1)
    return int(torch.cumprod(equal.int(), dim=0).sum())
