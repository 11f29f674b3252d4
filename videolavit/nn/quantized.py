"""Linear layers whose weights are stored in 8 or 4 bits; they compute in the type of their inputs.

Weight-only quantisation: a weight is turned back into a number each time it is used. That saves memory, half or nearly
three quarters of it against 16 bits, and not time: see docs/memory.md. Public PyTorch alone, so any device and any
float type will do. On CUDA, 8 bits and "nf4" are computed by the kernels of a library where it is installed.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from videolavit.errors import ConfigError
from videolavit.nn.nf4 import Nf4Linear
from videolavit.nn.quantized_kernels import kernels_for

__all__ = [
    "GROUP_SIZE",
    "PRECISIONS",
    "Int4Linear",
    "Int8Linear",
    "precision_of",
    "quantize_linears",
    "quantized_linear",
]

GROUP_SIZE = 128
"""Weights of one row that share a scale and a least value at 4 bits: 0.25 bits for each weight on top."""


class Int8Linear(nn.Module):
    """A linear layer with signed 8-bit weights and one scale for each row; zero stays zero."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        values = linear.weight.detach()
        # Rounded to the stored type first, so that codes are chosen for the numbers that will be used.
        scale = (values.float().abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.float32).tiny).to(values.dtype)
        codes = (values.float() / scale[:, None].float()).nan_to_num().round().clamp(-127, 127)
        self.register_buffer("weight", codes.to(torch.int8))
        self.register_buffer("scale", scale)
        self.register_buffer("bias", _bias(linear))

    def forward(self, inputs: Float[Tensor, "*shape columns"]) -> Float[Tensor, "*shape rows"]:
        kernels = kernels_for(inputs)
        if kernels is not None:
            return kernels.int8(inputs, self.weight, self.scale, self.bias)
        products = F.linear(inputs, self.weight.to(inputs.dtype)) * self.scale
        return (products if self.bias is None else products + self.bias).to(inputs.dtype)

    def extra_repr(self) -> str:
        return f"in_features={self.weight.shape[1]}, out_features={self.weight.shape[0]}"


class Int4Linear(nn.Module):
    """A linear layer with 4-bit weights, two in a byte; each group has a scale and a least value of its own."""

    weight: Tensor
    scale: Tensor
    least: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        columns = linear.in_features
        if columns % 2:
            raise ConfigError(f"got a layer with {columns} inputs, expected an even number: two weights make a byte")
        values = linear.weight.detach()
        groups = rearrange(values.float(), "rows (groups size) -> rows groups size", size=math.gcd(columns, GROUP_SIZE))
        # Rounded first, as above.
        least = groups.amin(dim=2, keepdim=True).to(values.dtype)
        span = groups.amax(dim=2, keepdim=True) - least.float()
        scale = (span / 15).clamp(min=torch.finfo(torch.float32).tiny).to(values.dtype)
        codes = ((groups - least.float()) / scale.float()).nan_to_num().round().clamp(0, 15).to(torch.uint8)
        low, high = codes.chunk(2, dim=2)  # halves of a group share bytes: they unpack in two long runs
        self.register_buffer("weight", low | high << 4)
        self.register_buffer("scale", scale)
        self.register_buffer("least", least)
        self.register_buffer("bias", _bias(linear))

    def forward(self, inputs: Float[Tensor, "*shape columns"]) -> Float[Tensor, "*shape rows"]:
        codes = torch.cat([self.weight & 15, self.weight >> 4], dim=2).to(self.scale.dtype)
        weight = torch.addcmul(self.least, codes, self.scale).to(inputs.dtype)
        return F.linear(inputs, weight.flatten(1), None if self.bias is None else self.bias.to(inputs.dtype))

    def extra_repr(self) -> str:
        return f"in_features={2 * self.weight[0].numel()}, out_features={self.weight.shape[0]}"


PRECISIONS: dict[str, type[nn.Module]] = {"int8": Int8Linear, "int4": Int4Linear, "nf4": Nf4Linear}
"""Kinds of layers by the name of their bits."""


def quantized_linear(precision: str) -> type[nn.Module]:
    """The kind of linear layer with weights in "int8", "int4" or "nf4".

    Raises:
        ConfigError: another precision.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f'got quantize={precision!r}, expected "int8", "int4" or "nf4"')
    return PRECISIONS[precision]


def quantize_linears(module: nn.Module, precision: str, *, keep: tuple[nn.Module | None, ...] = ()) -> None:
    """Replace the linear layers inside `module`, in place and one by one, so that it is never held twice.

    Args:
        module: any network; on the meta device, too, to learn sizes.
        precision: of the weights, "int8", "int4" or "nf4"; biases keep their type.
        keep: layers that stay as they are.

    Raises:
        ConfigError: another precision, a layer whose weights do not fit into bytes, or one in another precision.
    """
    kind = quantized_linear(precision)
    if precision_of(module) not in (None, precision):
        raise ConfigError(
            f"got quantize={precision!r}, and the weights are stored in {precision_of(module)}; leave quantize= out, "
            "or open the model that they were made of"
        )
    for name, child in list(module.named_modules()):
        if type(child) is nn.Linear and not any(child is kept for kept in keep):
            module.set_submodule(name, kind(child))


def precision_of(module: nn.Module) -> str | None:
    """Bits of the quantised layers inside `module`, a key of `PRECISIONS`; None where there is none."""
    kinds = {kind: precision for precision, kind in PRECISIONS.items()}
    return next((kinds[type(child)] for child in module.modules() if type(child) in kinds), None)


def _bias(linear: nn.Linear) -> Tensor | None:
    return None if linear.bias is None else linear.bias.detach()
