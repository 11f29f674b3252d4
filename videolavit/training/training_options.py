"""Options of every training run, of any stage: steps, optimiser, schedule, checkpoints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from videolavit.errors import ConfigError

__all__ = ["TrainingOptions", "learning_rate"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingOptions:
    """Options of one run. The schedule is a linear warm-up and half a cosine."""

    steps: int = 1000
    """Optimiser steps of the whole run."""
    batch_size: int = 16
    """Samples per optimiser step, over all processes and accumulated parts."""
    accumulate: int = 1
    """Parts that a process cuts its share of a batch into, to save memory; the loss stays that of the whole batch."""
    learning_rate: float = 1e-3
    """At the peak, right after the warm-up."""
    final_learning_rate: float = 0.0
    """Towards which the rate falls, along a cosine, until the steps end."""
    warmup_steps: int = 100
    optimiser: Literal["adamw", "muon"] = "adamw"
    """Muon moves matrices and convolutions within blocks, and AdamW all else: fewer steps for small models."""
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.001
    """On matrices and convolutions only: not on biases, norms, or anything with one dimension."""
    clip_norm: float = 1.0
    ema_decay: float = 0.0
    """Of the running mean of the weights that is exported; 0 exports the weights themselves."""
    precision: Literal["bf16", "float32"] = "bf16"
    """bf16 is autocast: weights and optimiser stay in float32."""
    seed: int = 0
    workers: int = 0
    """Processes that load data beside the training process; changes speed only."""
    log_every: int = 20
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    images_every: int = 1000
    """Steps between sample images; 0 writes none."""
    held_out_data: tuple[str, ...] = ()
    """Folders of the kind that the stage trains on, and of other videos: what is learnt by heart fails there. Their
    loss goes to the log and to TensorBoard as `held_out/...`."""
    held_out_every: int = 200
    """Steps between these measurements; there is one at the end as well."""
    held_out_batches: int = 4
    """Batches that are measured, always the same ones."""
    recompute_activations: bool = False
    """Keep only what enters each block and compute the rest again for the gradient: less memory, a third more time."""
    compile: bool = False
    """Compile each block with torch.compile: faster steps on a GPU after some minutes."""
    replicate: int = 1
    """Groups of processes that each hold all weights, in shards; only gradients go from group to group. For machines
    whose network is slower than what joins their GPUs: as many groups as machines."""
    background_checkpoints: bool = False
    """Write checkpoints while the run goes on, from a copy in the machine's memory."""
    peak_teraflops: float = 0.0
    """Of one GPU at this precision, to log what share of it the run uses (`mfu`); 0 takes that of known GPUs."""
    timeout_minutes: float = 30.0
    """Longest wait for another process before a run of several gives up."""

    def __post_init__(self) -> None:
        positive = (
            "steps",
            "batch_size",
            "accumulate",
            "replicate",
            "log_every",
            "checkpoint_every",
            "keep_checkpoints",
            "held_out_every",
            "held_out_batches",
        )
        for name in positive:
            if getattr(self, name) < 1:
                raise ConfigError(f"got {name}={getattr(self, name)}, expected at least 1")
        for name in ("warmup_steps", "seed", "workers", "images_every", "final_learning_rate", "weight_decay"):
            if not getattr(self, name) >= 0:  # NaN is neither
                raise ConfigError(f"got {name}={getattr(self, name)}, expected 0 or more")
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"got {name}={getattr(self, name)}, expected more than 0")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"got betas={self.betas}, expected two numbers from 0 to under 1, such as 0.9 and 0.99")
        if self.warmup_steps > self.steps:
            raise ConfigError(f"got {self.warmup_steps} warm-up steps of {self.steps}, expected at most all of them")
        if self.peak_teraflops < 0:
            raise ConfigError(f"got peak_teraflops={self.peak_teraflops}, expected 0 or more")
        if self.timeout_minutes <= 0:
            raise ConfigError(f"got timeout_minutes={self.timeout_minutes}, expected more than 0")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"got ema_decay={self.ema_decay}, expected 0 (off) to under 1, such as 0.999")


def learning_rate(options: TrainingOptions, step: int) -> float:
    """Rate of a step, counted from 0."""
    if step < options.warmup_steps:
        return options.learning_rate * (step + 1) / options.warmup_steps
    done = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return options.final_learning_rate + (options.learning_rate - options.final_learning_rate) * cosine
