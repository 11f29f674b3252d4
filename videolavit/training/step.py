"""One optimiser step: the loss over all parts and processes, its gradient, and the update.

The loss of a step is one mean, however the batch is cut: every part counts with its weight (`Stage.weight`) over the
weight of the whole step. So neither the number of processes nor that of parts changes what a gradient teaches.
Codebooks that learn from statistics of what they quantise do so once for each part (docs/scale.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from videolavit.errors import TrainingError
from videolavit.training.processes import Processes
from videolavit.training.stages.base import Stage
from videolavit.training.training_options import TrainingOptions, learning_rate

__all__ = ["NotFiniteError", "Taken", "autocast", "seed_all", "take_step"]


class NotFiniteError(TrainingError):
    """A loss or gradient that is no number; `train` says how to go on."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that was taken, on one process."""

    scalars: dict[str, Tensor]
    tokens: int
    flops: float
    """Operations that the step needed at least; 0 where nobody counts."""


def take_step(
    stage: Stage[Any],
    module: nn.Module,
    optimisers: Sequence[Optimizer],
    data: Iterator[Any],
    step: int,
    group: Processes,
) -> Taken:
    """Update the weights once.

    The mean of `loss` over all processes is the loss of the step; other scalars are those of the last part.

    Raises:
        NotFiniteError: loss or gradient norm is not finite; nothing was updated.
    """
    options = stage.training
    for parameters in [part for optimiser in optimisers for part in optimiser.param_groups]:
        parameters["lr"] = learning_rate(options, step)
    parts = [next(data) for _ in range(options.accumulate)]
    scalars = _gradient(stage, module, parts, step, group)
    norm = nn.utils.clip_grad_norm_(module.parameters(), options.clip_norm)
    scalars["gradient_norm"] = norm.full_tensor() if isinstance(norm, DTensor) else norm
    loss, size = scalars["loss"].item(), scalars["gradient_norm"].item()
    if not math.isfinite(loss) or not math.isfinite(size):
        raise NotFiniteError(f"step {step}: loss {loss}, gradient norm {size}")
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    flops = sum(stage.flops(module, part) for part in parts)
    return Taken(scalars, sum(stage.tokens(part) for part in parts), flops)


def _gradient(stage: Stage[Any], module: nn.Module, parts: list[Any], step: int, group: Processes) -> dict[str, Tensor]:
    """Accumulate the gradient of all parts, reduced over processes with the last; this process's scalars."""
    weights = [stage.weight(part) for part in parts]
    total = group.sum(sum(weights))
    scalars: dict[str, Tensor] = {}
    loss = torch.zeros((), device=group.device)
    for number, (part, weight) in enumerate(zip(parts, weights, strict=True)):
        if isinstance(module, FSDPModule):
            module.set_requires_gradient_sync(number == len(parts) - 1)
        batch = {name: value.to(group.device, non_blocking=True) for name, value in part.items()}
        seed_all(stage.training.seed, step, number, group.rank)
        with autocast(stage.training, group):
            scalars = module(batch, step)
        # Gradients are averaged over processes, hence their number; alone and in one part the factor is exactly 1.
        share = scalars["loss"] * 0.0 if not weight else scalars["loss"] / (total / (weight * group.count))
        share.backward()
        loss = loss + share.detach()
    return {**scalars, "loss": loss}


def autocast(options: TrainingOptions, group: Processes) -> AbstractContextManager[Any]:
    """The precision in which a stage computes its loss."""
    return torch.autocast(group.device.type, torch.bfloat16, enabled=options.precision == "bf16")


def seed_all(seed: int, step: int, part: int, rank: int) -> None:
    """Seed all random numbers of one part of a step: with them a function of its number, there is no state to save."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, part, rank]).generate_state(1, np.uint64)[0] >> 1))
