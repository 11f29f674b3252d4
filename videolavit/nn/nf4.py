"""Linear layers whose weights are one of sixteen values, those of "4-bit NormalFloat" (QLoRA, arXiv 2305.14314)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from videolavit.errors import ConfigError
from videolavit.nn.float32 import KeepsFloat32
from videolavit.nn.quantized_kernels import kernels_for

__all__ = ["NF4_VALUES", "Nf4Linear"]

# fmt: off
NF4_VALUES = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
    -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)
# fmt: on
"""Values of the paper's appendix E, as shares of the largest weight of a block: each is as likely as any other where
weights are normally distributed."""


_BLOCKS = (64, 32)
"""Weights of a row that share a scale: the first of these that divides it."""


class Nf4Linear(nn.Module):
    """A linear layer with 4-bit weights, two in a byte, and the largest of each 64 in float32: 4.5 bits a weight.

    Bytes and blocks are those of bitsandbytes, whose kernels compute with them on CUDA where the extra `quantize` is
    installed. Elsewhere they are looked up by plain PyTorch, which is slow.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        size = next((size for size in _BLOCKS if linear.in_features % size == 0), None)
        if size is None:
            raise ConfigError(
                f'quantize="nf4": got a layer with {linear.in_features} inputs, expected a multiple of {_BLOCKS[-1]}; '
                'try "int4"'
            )
        blocks = rearrange(linear.weight.detach().float(), "rows (blocks size) -> rows blocks size", size=size)
        largest = blocks.abs().amax(dim=2)
        shares = (blocks / largest[:, :, None]).nan_to_num()  # a block of zeros
        first, second = rearrange(_nearest(shares), "rows blocks (pairs two) -> two rows (blocks pairs)", two=2)
        self.register_buffer("weight", first << 4 | second)
        self.largest = _Largest(largest)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, inputs: Float[Tensor, "*shape columns"]) -> Float[Tensor, "*shape rows"]:
        bias = None if self.bias is None else self.bias.to(inputs.dtype)
        kernels = kernels_for(inputs)
        if kernels is not None:
            return kernels.nf4(inputs, self.weight, self.largest.values, bias)
        return F.linear(inputs, self.whole_weight().to(inputs.dtype), bias)

    def whole_weight(self) -> Float[Tensor, "rows columns"]:
        """The weights that the layer computes with, in float32."""
        values = torch.tensor(NF4_VALUES, device=self.weight.device)
        codes = torch.stack([self.weight >> 4, self.weight & 15], dim=2).flatten(1)
        largest = self.largest.values
        shares = rearrange(values[codes.int()], "rows (blocks size) -> rows blocks size", blocks=largest.shape[1])
        return (shares * largest[:, :, None]).flatten(1)

    def extra_repr(self) -> str:
        return f"in_features={2 * self.weight.shape[1]}, out_features={self.weight.shape[0]}"


class _Largest(KeepsFloat32):
    """Magnitudes of the largest weights of blocks; the kernels want them in float32."""

    values: Tensor

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.register_buffer("values", values)


def _nearest(shares: Float[Tensor, "rows blocks size"]) -> UInt8[Tensor, "rows blocks size"]:
    """Number of the nearest value; half way between two it is the lower one."""
    values = torch.tensor(NF4_VALUES, device=shares.device)
    return torch.bucketize(shares, (values[1:] + values[:-1]) / 2).to(torch.uint8)
