"""Group normalisation in float32, whatever the precision around it."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Float32GroupNorm", "normalise_in_float32"]


class Float32GroupNorm(nn.GroupNorm):
    """`GroupNorm` that computes in float32 and returns the type that it was given.

    On a CPU, in bfloat16 and channels_last, it takes a fifth off a whole training step: there the kernel, forward and
    backward, is two to three times slower than in float32.
    """

    def forward(self, x: Float[Tensor, "batch channels ..."]) -> Float[Tensor, "batch channels ..."]:  # pyright: ignore[reportIncompatibleMethodOverride]
        weight = None if self.weight is None else self.weight.float()
        bias = None if self.bias is None else self.bias.float()
        return F.group_norm(x.float(), self.num_groups, weight, bias, self.eps).to(x.dtype)


def normalise_in_float32(module: nn.Module) -> None:
    """Let every `GroupNorm` of a built module compute so; nothing about its parameters changes."""
    for part in module.modules():
        if type(part) is nn.GroupNorm:
            part.__class__ = Float32GroupNorm
