"""Checkpoints of a run: everything that the next step depends on, found and read again.

A checkpoint is a folder `step-00001000` made by torch.distributed.checkpoint (`checkpoint_writer.py`). It holds the
SHA-256 of its files, so damage is found before anything is read from it. A run that finds its newest checkpoint damaged
says so, keeps it as `step-00001000.damaged`, and goes on from the one before.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.optim import Optimizer

from videolavit.checkpoints.checksums import damaged_files
from videolavit.errors import CheckpointError
from videolavit.old_names import current_run
from videolavit.training.ema import WeightAverage
from videolavit.training.processes import Processes

__all__ = [
    "RUN_FILE",
    "advice_after_failure",
    "checkpoints_in",
    "first_line",
    "latest_checkpoint",
    "load_checkpoint",
    "resume",
    "training_state",
]

logger = logging.getLogger(__name__)

_NAME = re.compile(r"step-(\d{8})")
_MISSING = re.compile(r"Missing key in checkpoint state_dict: (\S+?)\.?$")
RUN_FILE = "run.json"
_MAY_CHANGE = frozenset({"processes", "attention", "chat"}).union(
    f"training.{name}"
    for name in ("learning_rate", "final_learning_rate", "clip_norm", "precision", "accumulate", "replicate")
)
"""Options that may change to go on after a loss that was not finite, or on other machines. The run then has not the
bits of either; the loss of a step means the same."""
_BEFORE_THERE_WAS = {
    "training.optimiser": repr("adamw"),
    "questions_together": repr(1),
    **dict.fromkeys(("layers", "model.layers", "motion.layers"), repr(1)),  # of motion codes; models' own were named
    **dict.fromkeys(("start_from", "condition_decoder"), repr("")),  # of the keyframe detokenizer, as what follows
    "whole_decoder": repr(False),
    "object_weight": repr(0.0),
    "unet.map_upscale": repr(1),
    **dict.fromkeys(("pure_noise", "distance_weight", "pixel_weight", "feature_weight"), repr(0.0)),
    "error_weight": repr(1.0),
    "adversarial_weight": repr(0.0),
}
"""Options that runs of earlier versions do not name, and what those runs did."""


def resume(
    folder: Path,
    module: nn.Module,
    optimisers: Sequence[Optimizer],
    average: WeightAverage | None,
    group: Processes,
    *,
    run: dict[str, str],
) -> int:
    """Restore the newest whole checkpoint of a folder; the number of steps that were done, 0 where there is none.

    Raises:
        CheckpointError: the checkpoints belong to a run with other options, or not one of them is whole.
    """
    damaged: list[str] = []
    for checkpoint in reversed(checkpoints_in(folder)):
        try:
            step = load_checkpoint(checkpoint, module, optimisers, average, group, run=run)
        except _DamagedError as error:
            damaged.append(str(error))
            if group.is_first:
                logger.warning("%s; trying the one before", error)
            continue
        if group.is_first:
            _set_aside(checkpoint, folder)
        group.wait()
        return step
    if damaged:
        raise CheckpointError(
            f"{'; '.join(damaged)}; no other checkpoint is whole: remove {folder} to start anew, or copy the "
            "checkpoints there again"
        )
    return 0


def load_checkpoint(
    checkpoint: Path,
    module: nn.Module,
    optimisers: Sequence[Optimizer],
    average: WeightAverage | None,
    group: Processes,
    *,
    run: dict[str, str],
) -> int:
    """Restore a state in place; the number of steps that were done.

    Raises:
        CheckpointError: the checkpoint belongs to another run, another version wrote it, or it is damaged.
    """
    note = _read_note(checkpoint)
    _check_run(checkpoint, note["options"], run)
    _check_files(checkpoint, note.get("files", {}), group)
    state = training_state(module, optimisers, average)
    with _explained_reading(checkpoint):
        dcp.load(state, checkpoint_id=checkpoint, no_dist=group.count == 1)
    set_state_dict(module, optimisers, model_state_dict=state["module"], optim_state_dict=state["optimiser"])
    if average is not None:
        average.load_state_dict(state["average"])
    return int(note["step"])


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the most steps, or None."""
    return next(reversed(checkpoints_in(folder)), None)


class _DamagedError(CheckpointError):
    """One checkpoint cannot be read; an earlier one may be."""


def checkpoints_in(folder: Path) -> list[Path]:
    """Checkpoints of a folder by their steps."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())


def training_state(module: nn.Module, optimisers: Sequence[Optimizer], average: WeightAverage | None) -> dict[str, Any]:
    """All that a checkpoint holds; the tensors are those in use."""
    weights, optimiser_state = get_state_dict(module, optimisers)
    state: dict[str, Any] = {"module": weights, "optimiser": optimiser_state}
    if average is not None:
        state["average"] = average.state_dict()
    return state


def _read_note(checkpoint: Path) -> dict[str, Any]:
    try:
        note = json.loads((checkpoint / RUN_FILE).read_text(encoding="utf-8"))
        if "options" not in note:  # written before options had dotted names
            note = {"step": note["step"], "options": {name: note[name] for name in note if name != "step"}}
        return {**note, "step": int(note["step"]), "options": current_run(note["options"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _DamagedError(f"{checkpoint}: is damaged: {RUN_FILE} cannot be read: {first_line(error)}") from error


def _check_run(checkpoint: Path, saved: dict[str, str], run: dict[str, str]) -> None:
    saved = {name: text for name, text in _BEFORE_THERE_WAS.items() if name in run} | saved
    changed = sorted(name for name in {*saved, *run} if saved.get(name) != run.get(name))
    if not changed:
        return
    told = ", ".join(f"{name}: {saved.get(name, 'nothing')} -> {run.get(name, 'nothing')}" for name in changed)
    if _MAY_CHANGE.issuperset(changed):
        logger.warning("%s: going on with changed options (%s)", checkpoint, told)
        return
    raise CheckpointError(
        f"{checkpoint} belongs to another run, whose options differ from this one's in {told}; give the old values to "
        "resume, or another folder to start anew"
    )


def _check_files(checkpoint: Path, hashes: dict[str, str], group: Processes) -> None:
    """Compare the files with their checksums, on the first process for all."""
    found = [damaged_files(checkpoint, hashes) if group.is_first else {}]
    if group.count > 1:
        dist.broadcast_object_list(found)
    for name, problem in found[0].items():
        raise _DamagedError(f"{checkpoint}: is damaged: {name} {problem}")


def _set_aside(good: Path, folder: Path) -> None:
    """Rename the damaged checkpoints after a good one, so that they neither count as kept nor are tried again."""
    for damaged in checkpoints_in(folder):
        if damaged.name > good.name:
            aside = damaged.with_name(f"{damaged.name}.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(damaged, aside)


def advice_after_failure(folder: Path, run: dict[str, str]) -> str:
    """Words on how to go on after numbers that were not finite, given the checkpoints and the options of the run."""
    precise = run.get("training.precision") == repr("float32")
    change = "a lower --training.learning-rate" + ("" if precise else " or --training.precision float32")
    last = latest_checkpoint(folder)
    if last is None:
        return f"there is no checkpoint yet: start again with {change}"
    return f"the last checkpoint, {last.name}, is intact: run the same command with {change} to go on from it"


@contextmanager
def _explained_reading(checkpoint: Path) -> Iterator[None]:
    try:
        yield
    except (Exception, CheckpointException) as error:  # CheckpointException is no Exception
        if (missing := _MISSING.search(first_line(error))) is not None:
            raise CheckpointError(
                f"{checkpoint}: is whole, but has no {missing[1]}: another version of the stage or of its optimiser "
                "wrote it; go on with that version, or give another folder to start anew"
            ) from error
        raise _DamagedError(f"{checkpoint}: is damaged or of another model: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """First line of a library's message, without the stack that it carries along."""
    failures = getattr(error, "failures", None)  # of CheckpointException: what each process met
    if failures:
        inner = next(iter(failures.values()))
        error = inner[0] if isinstance(inner, tuple) else inner
    text = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
