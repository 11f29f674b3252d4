"""The two-layer networks of every block and of every output head (reference sections 3 to 5)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from videolavit.nn.float32 import KeepsFloat32

__all__ = ["MLP", "CodeHead", "TanhHead"]


class MLP(nn.Module):
    """Linear, exact GELU, Linear back to `width`."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        return self.fc2(F.gelu(self.fc1(x)))


class TanhHead(nn.Sequential):
    """Linear, Tanh, Linear: from the last features of a network to what it predicts."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, out_width))


class CodeHead(KeepsFloat32, TanhHead):
    """`TanhHead` to the space of a codebook, always computed and stored in float32, under autocast too.

    Rounding here would change which code is nearest (reference sections 3 and 4).
    """

    def forward(self, input: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch code_dim"]:  # noqa: A002
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.to(next(self.parameters()).dtype))
