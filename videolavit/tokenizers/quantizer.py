"""Vector quantiser of both tokenizers: features to codes and back (paper, section 3.1; reference sections 3 and 4)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int, Int64
from torch import Tensor

from videolavit.errors import ConfigError, VocabularyError
from videolavit.nn.float32 import KeepsFloat32

__all__ = ["Quantized", "VectorQuantizer"]

LARGEST_DISTANCE_TABLE = 2**26
"""Distances held at once. A training batch against the released 16 384 visual codes would be tens of gigabytes."""


class Quantized(NamedTuple):
    """Output of quantisation for a training step."""

    vectors: Float32[Tensor, "*batch code_dim"]
    """Codebook rows; gradients pass straight through them to `directions`."""
    codes: Int64[Tensor, "*batch"]
    directions: Float32[Tensor, "*batch code_dim"]
    """Features scaled to length one."""
    commitment: Float32[Tensor, ""]
    """Squared distance of directions from their rows, mean over features; its gradient moves them, not the codebook."""


class VectorQuantizer(KeepsFloat32):
    """A codebook of `num_codes` rows. A feature's code is the row nearest to the feature scaled to length one.

    The rows are used as they are stored, of whatever length. Everything here is float32, under autocast too, and stays
    so when the model around it is cast: rounding would change codes.

    Raises:
        ConfigError: no codes, or codes without dimensions.
    """

    codebook: Float32[Tensor, "num_codes code_dim"]

    def __init__(self, num_codes: int, code_dim: int) -> None:
        super().__init__()
        if min(num_codes, code_dim) < 1:
            raise ConfigError(f"got {num_codes} codes of {code_dim} dimensions, expected at least one of each")
        # A buffer, not a parameter: rows follow the running means of their features, no optimiser touches them.
        self.register_buffer("codebook", F.normalize(torch.randn(num_codes, code_dim), dim=-1))

    @property
    def num_codes(self) -> int:
        return self.codebook.shape[0]

    @property
    def code_dim(self) -> int:
        return self.codebook.shape[1]

    def forward(self, features: Float[Tensor, "*batch code_dim"]) -> Quantized:
        """Quantise for training. How the codebook itself learns is in `videolavit.tokenizers.codebook`."""
        codes = self.codes(features)
        with torch.autocast(features.device.type, enabled=False):
            directions = F.normalize(features.float(), dim=-1)
            rows = F.embedding(codes, self.codebook)
            commitment = (directions - rows).square().sum() / max(1, codes.numel())
            return Quantized(directions + (rows - directions).detach(), codes, directions, commitment)

    def codes(self, features: Float[Tensor, "*batch code_dim"]) -> Int64[Tensor, "*batch"]:
        """Code of each feature vector, 0 to `num_codes` - 1. The length of a feature does not matter."""
        with torch.no_grad(), torch.autocast(features.device.type, enabled=False):
            directions = F.normalize(features.to(self.codebook.dtype), dim=-1).reshape(-1, self.code_dim)
            rows_at_once = max(1, LARGEST_DISTANCE_TABLE // self.num_codes)
            codes = [self._nearest(part) for part in directions.split(rows_at_once)]
            return torch.cat(codes).reshape(features.shape[:-1])

    def vectors(self, codes: Int[Tensor, "*batch"]) -> Float32[Tensor, "*batch code_dim"]:
        """Codebook rows of codes.

        Raises:
            VocabularyError: a code is not in 0 .. `num_codes` - 1.
        """
        check_codes(codes, self.num_codes)
        return F.embedding(codes, self.codebook)

    def _nearest(self, directions: Tensor) -> Tensor:
        # |f - c|^2 without |f|^2, which is the same for all rows: one matrix product and no (n, codes, dim) array.
        distances = torch.addmm(self.codebook.square().sum(-1), directions, self.codebook.mT, alpha=-2)
        return distances.argmin(-1)


def check_codes(codes: Int[Tensor, "*batch"], num_codes: int) -> None:
    """Raise `VocabularyError` unless every code is in 0 .. `num_codes` - 1."""
    outside = (codes < 0) | (codes >= num_codes)
    if outside.any():
        raise VocabularyError(
            f"{int(outside.sum())} of {codes.numel()} codes are outside 0 to {num_codes - 1}, the first is "
            f"{int(codes[outside][0])}; codes count from 0, ids of the language model go through Vocabulary first"
        )
