"""Muon for matrices and convolutions (Jordan et al. 2024): a step in which all directions of a weight move alike.

torch.optim.Muon takes matrices only. A convolution is one here with a row for each output channel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = ["Muon"]

# Five iterations with these bring every singular value to 0.7 .. 1.2, which is near enough to 1.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_SIZE_OF_ADAMW = 0.2
"""Root mean square of an update, as AdamW's is found to be: both can then take the same learning rate."""


class Muon(Optimizer):
    """Nesterov momentum with its singular values made equal, and decoupled weight decay.

    Args:
        params: of two dimensions or more.
        lr: learning rate, in AdamW's measure.
        weight_decay: as AdamW's.
        momentum: share of the past in the average of gradients.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float = 0.0, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
                average = state["momentum_buffer"]
                average.lerp_(parameter.grad, 1 - group["momentum"])
                update = _orthogonal(parameter.grad.lerp(average, group["momentum"]).flatten(1))
                size = _SIZE_OF_ADAMW * max(update.shape) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update.to(parameter.dtype).reshape(parameter.shape), alpha=-group["lr"] * size)
        return loss


def _orthogonal(matrix: Tensor) -> Tensor:
    """The same singular vectors, singular values near 1; in bfloat16, by Newton and Schulz's iteration."""
    a, b, c = _COEFFICIENTS
    wide = matrix.bfloat16() if matrix.shape[0] <= matrix.shape[1] else matrix.bfloat16().T
    wide = wide / wide.norm().clamp(min=1e-7)  # the largest singular value is 1 at most
    for _ in range(_ITERATIONS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T
