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
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from videolavit.errors import ConfigError

__all__ = ["Processes", "memory_in_use", "peak_flops", "processes", "shard"]

_PEAK_IN_BF16 = {"A100": 312e12, "H100": 989e12, "H200": 989e12, "GH200": 989e12, "B200": 2250e12, "L40S": 362e12}
"""Dense operations in a second, by a part of the GPU's name, as its maker states them."""


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

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            dist.barrier()

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


def peak_flops(device: torch.device, precision: str) -> float:
    """Operations in a second that a device could do at most; 0 where that is not known."""
    if device.type != "cuda" or precision != "bf16":
        return 0.0
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in _PEAK_IN_BF16.items() if part in name), 0.0)


def shard(module: nn.Module, group: Processes, *, blocks_in_bf16: bool = False, replicate: int = 1) -> None:
    """Spread parameters, gradients and optimiser state over the processes; nothing to do for one.

    Every block of a `ModuleList` is gathered and freed on its own, so that only one of them is whole at a time; in bf16
    if asked for, which halves what goes over the network. Gradients are summed in float32, and what is outside of
    blocks (embeddings, the last norm, the output) stays in float32.

    With `replicate` groups, weights are spread within each of them alone.

    Raises:
        ConfigError: the processes cannot be cut into so many groups.
    """
    if group.count % replicate:
        raise ConfigError(f"{group.count} processes cannot be cut into {replicate} groups of the same size")
    if group.count == 1:
        return
    mesh = _mesh(group, replicate)
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if blocks_in_bf16 else None, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for child in module.modules():
        if isinstance(child, nn.ModuleList):
            for block in child:
                if any(parameter.requires_grad for parameter in block.parameters()):
                    fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(module, mesh=mesh)


def _mesh(group: Processes, replicate: int) -> DeviceMesh:
    """Neighbours, which torchrun starts on one machine, hold one copy of the weights together."""
    if replicate == 1:
        return init_device_mesh(group.device.type, (group.count,))
    shape = (replicate, group.count // replicate)
    return init_device_mesh(group.device.type, shape, mesh_dim_names=("replicate", "shard"))
