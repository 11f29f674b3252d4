"""Vector quantiser of both tokenizers: features to codes and back (paper, section 3.1; reference sections 3 and 4)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int, Int64
from torch import Tensor

from videolavit.errors import ConfigError, VocabularyError
from videolavit.nn.float32 import KeepsFloat32

__all__ = ["Quantized", "ResidualQuantizer", "VectorQuantizer", "check_codes", "nearest_rows"]

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
            directions = F.normalize(features.to(self.codebook.dtype), dim=-1)
            return nearest_rows(directions, self.codebook)

    def residuals(self, features: Float[Tensor, "*batch code_dim"]) -> Float32[Tensor, "*batch code_dim"]:
        """The part of each feature, scaled to length one, that its code leaves out."""
        with torch.no_grad(), torch.autocast(features.device.type, enabled=False):
            return F.normalize(features.float(), dim=-1) - F.embedding(self.codes(features), self.codebook)

    def vectors(self, codes: Int[Tensor, "*batch"]) -> Float32[Tensor, "*batch code_dim"]:
        """Codebook rows of codes.

        Raises:
            VocabularyError: a code is not in 0 .. `num_codes` - 1.
        """
        check_codes(codes, self.num_codes)
        return F.embedding(codes, self.codebook)


class ResidualQuantizer(KeepsFloat32):
    """Further layers of codes: the row of each is the one nearest to what all layers before it leave of a feature.

    The sum of the rows comes nearer to the feature with every layer, so that any number of the last ones may be left
    out. Rows are zero, and add nothing, until `ResidualLearner` moves them.
    """

    codebooks: Float32[Tensor, "layers num_codes code_dim"]

    def __init__(self, layers: int, num_codes: int, code_dim: int) -> None:
        super().__init__()
        self.register_buffer("codebooks", torch.zeros(layers, num_codes, code_dim))

    def codes(self, residuals: Float[Tensor, "*batch code_dim"]) -> Int64[Tensor, "layers *batch"]:
        """Codes of what a first code leaves out."""
        left, found = residuals.float(), []
        with torch.no_grad(), torch.autocast(residuals.device.type, enabled=False):
            for rows in self.codebooks:
                found.append(nearest_rows(left, rows))
                left = left - F.embedding(found[-1], rows)
        return torch.stack(found)

    def vectors(self, codes: Int[Tensor, "some_layers *batch"]) -> Float32[Tensor, "*batch code_dim"]:
        """The sum of the rows of the first layers of codes, as many as there are.

        Raises:
            VocabularyError: a code is outside its codebook.
        """
        check_codes(codes, self.codebooks.shape[1])
        rows = [F.embedding(layer, codebook) for layer, codebook in zip(codes, self.codebooks, strict=False)]
        return torch.stack(rows).sum(0)


def nearest_rows(
    vectors: Float32[Tensor, "*batch code_dim"], codebook: Float32[Tensor, "num_codes code_dim"]
) -> Int64[Tensor, "*batch"]:
    """The row of a codebook that is nearest to each vector."""
    rows_at_once = max(1, LARGEST_DISTANCE_TABLE // len(codebook))
    parts = vectors.reshape(-1, codebook.shape[1]).split(rows_at_once)
    # |f - c|^2 without |f|^2, which is the same for all rows: one matrix product and no (n, codes, dim) array.
    squares = codebook.square().sum(-1)
    codes = [torch.addmm(squares, part, codebook.mT, alpha=-2).argmin(-1) for part in parts]
    return torch.cat(codes).reshape(vectors.shape[:-1])


def check_codes(codes: Int[Tensor, "*batch"], num_codes: int) -> None:
    """Raise `VocabularyError` unless every code is in 0 .. `num_codes` - 1."""
    outside = (codes < 0) | (codes >= num_codes)
    if outside.any():
        raise VocabularyError(
            f"{int(outside.sum())} of {codes.numel()} codes are outside 0 to {num_codes - 1}, the first is "
            f"{int(codes[outside][0])}; codes count from 0, ids of the language model go through Vocabulary first"
        )
