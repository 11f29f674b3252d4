"""Hardware of this machine: device, cores, memory."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["Machine", "look_at_machine"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """A device and the computer that it is in."""

    system: str
    python: str
    device: str
    device_name: str
    cores: int
    """Cores that this process may use."""
    threads: int
    """Threads that torch computes with on a CPU."""
    memory_bytes: int | None
    """Of the device; None where it cannot be told."""
    free_bytes: int | None


def look_at_machine(device: torch.device) -> Machine:
    """The facts about a device."""
    import torch

    total, free = _gpu_memory(device) if device.type == "cuda" else _memory()
    return Machine(
        system=platform.platform(),
        python=platform.python_version(),
        device=str(device),
        device_name=torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        cores=_cores(),
        threads=torch.get_num_threads(),
        memory_bytes=total,
        free_bytes=free,
    )


def _gpu_memory(device: torch.device) -> tuple[int, int]:
    import torch

    free, total = torch.cuda.mem_get_info(device)
    return total, free


def _memory() -> tuple[int | None, int | None]:
    """Bytes of main memory, and what of them a process could have now, where the system is Linux."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        facts = {name: int(value.split()[0]) * 1024 for name, _, value in (line.partition(":") for line in lines)}
        return facts.get("MemTotal"), facts.get("MemAvailable")
    except (OSError, ValueError, IndexError):
        return None, None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
