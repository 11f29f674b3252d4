"""Choice of the accelerator of a worker, where there are several."""

from __future__ import annotations

import os

from videolavit.jobs.pool import worker_number

__all__ = ["worker_device"]

_LOCAL_RANKS = ("LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK")
"""Set by torchrun, srun and mpirun for each of the processes of a machine."""


def worker_device() -> str:
    """Device of this process: "cuda:N" by its rank on the machine, then by its number in its pool; or "cpu".

    Ray shows each actor its own devices alone, so that the first of them is right there.
    """
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{(_local_rank() + worker_number()) % torch.cuda.device_count()}"


def _local_rank() -> int:
    """Number of this process among those that a launcher started on this machine."""
    return next((int(rank) for name in _LOCAL_RANKS if (rank := os.environ.get(name, "")).isdigit()), 0)
