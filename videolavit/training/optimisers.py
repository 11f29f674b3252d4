"""Optimisers of a run: AdamW, or Muon for matrices and convolutions within blocks, and AdamW for all else.

Muon (Jordan et al. 2024) moves a matrix by its momentum with all singular values made equal, so that directions that
gradients rarely point to are learnt as fast as the frequent ones. Scaled to the size of AdamW's updates, both take the
same learning rate and schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import AdamW, Optimizer

from videolavit.errors import ConfigError
from videolavit.training.muon import Muon
from videolavit.training.training_options import TrainingOptions

__all__ = ["build_optimisers", "check_optimiser", "optimiser_numbers"]

_STATES = {AdamW: 2, Muon: 1}
"""Numbers kept for each parameter."""


def build_optimisers(module: nn.Module, options: TrainingOptions) -> list[Optimizer]:
    """Optimisers of all parameters that require a gradient, each parameter in one of them.

    Raises:
        ConfigError: Muon is asked for and weights are spread over processes: it needs whole matrices.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    matrices: list[nn.Parameter] = []
    if options.optimiser == "muon":
        check_optimiser(options, is_spread=any(isinstance(parameter, DTensor) for parameter in trained))
        tables = {id(table.weight) for table in module.modules() if isinstance(table, nn.Embedding)}
        inner = _inner_matrices(module) - tables
        matrices = [parameter for parameter in trained if id(parameter) in inner]
    chosen = {id(parameter) for parameter in matrices}
    others = [parameter for parameter in trained if id(parameter) not in chosen]
    optimisers: list[Optimizer] = []
    if others:
        optimisers.append(AdamW(_decayed_apart(others, options.weight_decay), lr=0.0, betas=options.betas))
    if matrices:
        optimisers.append(Muon(matrices, weight_decay=options.weight_decay))
    return optimisers


def check_optimiser(options: TrainingOptions, *, is_spread: bool) -> None:
    """Refuse an optimiser that needs whole matrices where weights are spread over processes.

    Raises:
        ConfigError: it is Muon, and they are.
    """
    if options.optimiser == "muon" and is_spread:
        raise ConfigError(
            "got training.optimiser=muon with weights spread over processes, and it needs whole matrices; "
            "add --training.optimiser adamw, or train in one process"
        )


def optimiser_numbers(module: nn.Module, options: TrainingOptions) -> int:
    """Numbers that the optimisers keep between steps."""
    return sum(
        _STATES[type(optimiser)] * parameter.numel()
        for optimiser in build_optimisers(module, options)
        for group in optimiser.param_groups
        for parameter in group["params"]
    )


def _inner_matrices(module: nn.Module) -> set[int]:
    """Identities of the weights of linear layers and convolutions within blocks.

    Blocks are the members of a `ModuleList`, as in transformers and diffusers.
    """
    blocks = [block for stack in module.modules() if isinstance(stack, nn.ModuleList) for block in stack]
    kinds = (nn.Linear, nn.Conv2d)
    return {id(layer.weight) for block in blocks for layer in block.modules() if isinstance(layer, kinds)}


def _decayed_apart(parameters: Sequence[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Matrices and convolutions, which decay; and what has one dimension, which does not."""
    decayed = [parameter for parameter in parameters if parameter.ndim >= 2]
    others = [parameter for parameter in parameters if parameter.ndim < 2]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
