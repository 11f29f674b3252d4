"""The processes of a run: one, or those that torchrun started; on a CPU (gloo) or one GPU each (nccl)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

__all__ = ["Processes", "processes", "shard"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Processes:
    """Which process this is, of how many, and the device it works on."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0

    def mean(self, values: dict[str, torch.Tensor]) -> dict[str, float]:
        """Mean of each scalar over all processes."""
        stacked = torch.stack([value.detach().float().to(self.device) for value in values.values()])
        if self.count > 1:
            dist.all_reduce(stacked)
        return dict(zip(values, (stacked / self.count).tolist(), strict=True))


@contextmanager
def processes() -> Iterator[Processes]:
    """Join the processes that torchrun started, if it did, and leave them at the end."""
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if count == 1:
        yield Processes(rank=0, count=1, device=device)
        return
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Processes(rank=rank, count=count, device=device)
    finally:
        dist.destroy_process_group()


def shard(module: nn.Module, group: Processes) -> None:
    """Spread parameters, gradients and optimiser state over the processes; nothing to do for one.

    Every block of a `ModuleList` is gathered and freed on its own, so that only one of them is whole at a time.
    """
    if group.count == 1:
        return
    mesh = init_device_mesh(group.device.type, (group.count,))
    for child in module.modules():
        if isinstance(child, nn.ModuleList):
            for block in child:
                if any(parameter.requires_grad for parameter in block.parameters()):
                    fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)
