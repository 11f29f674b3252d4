"""The processes of a run: one, or those that torchrun started; on a CPU (gloo) or one GPU each (nccl)."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

__all__ = ["Processes", "processes", "shard"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Processes:
    """Number of this process, the number of all, and its device."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """True if this process writes what is written once."""
        return self.rank == 0

    def sum(self, value: float) -> float:
        """Sum of a number over all processes."""
        return self._reduced(value, dist.ReduceOp.SUM)

    def most(self, value: float) -> float:
        """The largest of the processes' numbers."""
        return self._reduced(value, dist.ReduceOp.MAX)

    def _reduced(self, value: float, operation: Any) -> float:
        if self.count == 1:
            return value
        number = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(number, operation)
        return number.item()

    def mean(self, values: dict[str, torch.Tensor]) -> dict[str, float]:
        """Mean of each scalar over all processes."""
        stacked = torch.stack([value.detach().float().to(self.device) for value in values.values()])
        if self.count > 1:
            dist.all_reduce(stacked)
        return dict(zip(values, (stacked / self.count).tolist(), strict=True))


@contextmanager
def processes(timeout_minutes: float = 30.0) -> Iterator[Processes]:
    """Join the processes that torchrun started, if it did, and leave them at the end.

    Whoever waits longer than the timeout for another process ends with an error.
    """
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if count == 1:
        yield Processes(rank=0, count=1, device=device)
        return
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo",
        timeout=timedelta(minutes=timeout_minutes),
        device_id=device if cuda else None,
    )
    try:
        yield Processes(rank=rank, count=count, device=device)
    finally:
        dist.destroy_process_group()


def memory_in_use(device: torch.device) -> float:
    """Most bytes that this process has used so far: of a GPU's memory, or of the machine's."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def shard(module: nn.Module, group: Processes, *, blocks_in_bf16: bool = False) -> None:
    """Spread parameters, gradients and optimiser state over the processes; nothing to do for one.

    Every block of a `ModuleList` is gathered and freed on its own, so that only one of them is whole at a time; in bf16
    if asked for, which halves what goes over the network. Gradients are summed in float32, and what is outside of
    blocks (embeddings, the last norm, the output) stays in float32.
    """
    if group.count == 1:
        return
    mesh = init_device_mesh(group.device.type, (group.count,))
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if blocks_in_bf16 else None, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for child in module.modules():
        if isinstance(child, nn.ModuleList):
            for block in child:
                if any(parameter.requires_grad for parameter in block.parameters()):
                    fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(module, mesh=mesh)
