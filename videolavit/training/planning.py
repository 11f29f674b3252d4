"""A training run on paper: memory of each process, tokens of a step, hours of GPUs, before anything is started.

Parameters, gradients and the optimiser's state are counted exactly, on a module without memory. Activations of the
language model are those that a forward pass of full rows keeps, counted on tensors without values. A GPU needs room
besides: for the weights of two gathered blocks, buffers of communication, and what the allocator cannot use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from videolavit.training.batches import check_batch
from videolavit.training.blocks import trained_blocks
from videolavit.training.optimisers import check_optimiser, optimiser_numbers
from videolavit.training.stages.base import Stage

__all__ = ["Plan", "plan"]

_GIB = 2**30


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Needs of one run; bytes are those of one process."""

    processes: int
    num_parameters: int
    num_trained: int
    parameter_bytes: int
    gradient_bytes: int
    optimiser_bytes: int
    """Of the optimiser, and of the running mean of the weights where there is one."""
    gathered_bytes: int
    """Two whole blocks, the one that computes and the one that comes next; 0 for one process."""
    activation_bytes: int | None
    """Of one part of a step with full rows; None for stages whose activations are not counted."""
    tokens_per_step: int
    """At most: rows may end in padding. 0 for stages whose data are no tokens."""
    samples_per_step: int
    steps: int
    tokens_per_second: float
    """Of one process; 0 where it is not known."""

    @property
    def bytes_per_process(self) -> int:
        """Sum of all that is counted."""
        held = self.parameter_bytes + self.gradient_bytes + self.optimiser_bytes + self.gathered_bytes
        return held + (self.activation_bytes or 0)

    @property
    def gpu_hours(self) -> float | None:
        """Hours of one process that the run takes, over all of them; None where the speed is not known."""
        if not self.tokens_per_second or not self.tokens_per_step:
            return None
        return self.tokens_per_step * self.steps / self.tokens_per_second / 3600

    def lines(self) -> list[str]:
        """The plan as text."""
        activations = "not counted" if self.activation_bytes is None else _gib(self.activation_bytes)
        lines = [
            f"parameters        {self.num_parameters / 1e6:.1f} M, of which {self.num_trained / 1e6:.1f} M are trained",
            f"memory a process  {_gib(self.bytes_per_process)}: parameters {_gib(self.parameter_bytes)}, gradients "
            f"{_gib(self.gradient_bytes)}, optimiser {_gib(self.optimiser_bytes)}, gathered blocks "
            f"{_gib(self.gathered_bytes)}, activations {activations}",
            f"samples a step    {self.samples_per_step:,} on {self.processes} processes, {self.steps:,} steps",
        ]
        if self.tokens_per_step:
            total = self.tokens_per_step * self.steps
            lines.append(f"tokens a step     at most {self.tokens_per_step:,}, {total / 1e9:.2f} G in all")
        if (hours := self.gpu_hours) is not None:
            lines.append(
                f"GPU-hours         {hours:,.0f} at {self.tokens_per_second:,.0f} tokens a second and process, "
                f"{hours / self.processes:,.1f} hours in all"
            )
        return lines


def plan(stage: Stage[Any], *, processes: int = 1, tokens_per_second: float = 0.0) -> Plan:
    """Count what a run of a stage needs, without its data.

    Raises:
        ConfigError: the run would be refused: a batch is too small for the processes, or the optimiser wants one alone.
    """
    options = stage.training
    check_batch(options.batch_size, options.accumulate, processes)
    check_optimiser(options, is_spread=processes > 1)
    with torch.device("meta"):
        module = stage.sketch()
    trained = sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
    every = sum(weight.numel() for weight in module.parameters())
    kept = optimiser_numbers(module, options) + bool(options.ema_decay) * trained
    width = 2 if stage.blocks_in_bf16 and options.precision == "bf16" else 4
    largest = max((_size(block) for block in trained_blocks(module)), default=0)
    part = -(-options.batch_size // (processes * options.accumulate))
    return Plan(
        processes=processes,
        num_parameters=every,
        num_trained=trained,
        parameter_bytes=-(-4 * every // processes),
        gradient_bytes=-(-4 * trained // processes),
        optimiser_bytes=-(-4 * kept // processes),
        gathered_bytes=2 * width * largest if processes > 1 else 0,
        activation_bytes=stage.activation_bytes(part),
        tokens_per_step=stage.tokens_of_step(processes),
        samples_per_step=options.batch_size,
        steps=options.steps,
        tokens_per_second=tokens_per_second,
    )


def _size(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def _gib(count: int) -> str:
    return f"{count / _GIB:.2f} GiB"
