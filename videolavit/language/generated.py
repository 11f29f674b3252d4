"""Values of decoding: one id as it comes, and all that was written after one prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from videolavit.language.grammar import Modality, Walk

__all__ = ["Generated", "GeneratedBlock", "NewId", "generated"]


@dataclass(frozen=True, slots=True)
class NewId:
    """One id, as it comes."""

    sample: int
    """Index of the prompt, or the number of the request."""
    block: int
    """Index of the block that the id belongs to; special tokens belong to the block they open or close."""
    id: int
    logprob: float | None = None
    """Log-probability among the ids that the grammar allows, guidance included, before temperature, top-k and top-p;
    where it was asked for. A forced id has 0."""
    top: tuple[tuple[int, float], ...] = ()
    """The likeliest ids with theirs, the best first, where asked for."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GeneratedBlock:
    """One block as it was written."""

    modality: Modality
    ids: Int[Tensor, "n"]
    """Without the opening and closing special token."""
    closed: bool
    """True if the closing special token came."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Generated:
    """All that was written after one prompt."""

    ids: Int[Tensor, "n"]
    """All new ids, special tokens included. Prompt and these together are the context of what follows."""
    blocks: tuple[GeneratedBlock, ...]
    finished: bool
    """True if every block was written; False where the sample was ended early."""

    def of(self, modality: Modality) -> list[Int[Tensor, "_"]]:
        """Contents of the blocks of one modality, in order."""
        return [block.ids for block in self.blocks if block.modality == modality]


def generated(written: Sequence[NewId], walk: Walk) -> Generated:
    """Steps of `walk`, sorted into blocks."""
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
