"""Checkpoints of a run: everything that the next step depends on, written so that a kill can hurt none of them.

A checkpoint is a folder `step-00001000` made by torch.distributed.checkpoint. It is written under another name and
renamed when complete, so whatever has the right name is whole.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.optim import Optimizer

from videolavit.errors import CheckpointError
from videolavit.training.ema import WeightAverage
from videolavit.training.processes import Processes

__all__ = ["latest_checkpoint", "load_checkpoint", "save_checkpoint"]

_NAME = re.compile(r"step-(\d{8})")


def save_checkpoint(
    folder: Path,
    step: int,
    module: nn.Module,
    optimiser: Optimizer,
    average: WeightAverage | None,
    group: Processes,
    *,
    run: dict[str, Any],
    keep: int,
) -> Path:
    """Write the state after `step` steps and remove all but the `keep` newest.

    `run` is what a run that resumes from it must agree with.
    """
    target = folder / f"step-{step:08d}"
    partial = folder / f".{target.name}.partial"
    if group.is_first:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    _wait(group)
    dcp.save(_state(module, optimiser, average), checkpoint_id=partial, no_dist=group.count == 1)
    if group.is_first:
        (partial / "run.json").write_text(json.dumps({"step": step, **run}, indent=2) + "\n")
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
        for old in _checkpoints(folder)[:-keep]:
            shutil.rmtree(old)
    _wait(group)
    return target


def load_checkpoint(
    checkpoint: Path,
    module: nn.Module,
    optimiser: Optimizer,
    average: WeightAverage | None,
    group: Processes,
    *,
    run: dict[str, Any],
) -> int:
    """Restore a state in place; the number of steps that were done.

    Raises:
        CheckpointError: the checkpoint belongs to another run, or cannot be read.
    """
    try:
        saved = json.loads((checkpoint / "run.json").read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{checkpoint}: run.json cannot be read: {error}; remove the folder") from error
    step = saved.pop("step")
    changed = sorted(name for name in {*saved, *run} if saved.get(name) != run.get(name))
    if changed:
        was, now = ({name: values.get(name) for name in changed} for values in (saved, run))
        raise CheckpointError(
            f"{checkpoint} belongs to another run: it has {was}, this one {now}; "
            "use the same options to resume, or another folder to start anew"
        )
    state = _state(module, optimiser, average)
    dcp.load(state, checkpoint_id=checkpoint, no_dist=group.count == 1)
    set_state_dict(module, optimiser, model_state_dict=state["module"], optim_state_dict=state["optimiser"])
    if average is not None:
        average.load_state_dict(state["average"])
    return step


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the most steps, or None."""
    return next(reversed(_checkpoints(folder)), None)


def _checkpoints(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def _state(module: nn.Module, optimiser: Optimizer, average: WeightAverage | None) -> dict[str, Any]:
    weights, optimiser_state = get_state_dict(module, optimiser)
    state: dict[str, Any] = {"module": weights, "optimiser": optimiser_state}
    if average is not None:
        state["average"] = average.state_dict()
    return state


def _wait(group: Processes) -> None:
    if group.count > 1:
        dist.barrier()
