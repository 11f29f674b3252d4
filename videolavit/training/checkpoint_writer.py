"""Writing checkpoints so that a kill can hurt none of them, while the run waits or while it goes on.

A checkpoint is written under another name, by all processes together, and renamed when it is complete. In the
background the state is copied into the memory of the machine first, and a thread writes the copy.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from videolavit.checkpoints.checksums import file_hashes
from videolavit.errors import OutputError, TrainingError
from videolavit.training.checkpoint import RUN_FILE, advice_after_failure, checkpoints_in, first_line, training_state
from videolavit.training.ema import WeightAverage
from videolavit.training.processes import Processes

__all__ = ["CheckpointWriter"]


class CheckpointWriter:
    """Writes the checkpoints of one run into a folder; leaving its context ends what still goes on."""

    def __init__(
        self, folder: Path, group: Processes, *, run: dict[str, str], keep: int, in_background: bool = False
    ) -> None:
        """`run` is all that a run which resumes must agree with, options by dotted names; `keep` the newest to keep."""
        self._folder, self._group, self._run, self._keep = folder, group, run, keep
        self._thread = ThreadPoolExecutor(max_workers=1) if in_background else None
        # Two threads must not share a group: messages of a checkpoint would meet those of a step.
        self._processes: Any = dist.new_group(backend="gloo") if in_background and group.count > 1 else None
        self._going_on: tuple[Path, Future[None]] | None = None

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._thread is not None:
            if kind is not None and self._going_on is not None:  # let it end, but the first error is the one to tell
                with suppress(BaseException):
                    self._going_on[1].result()
            self._thread.shutdown()

    def save(
        self, step: int, module: nn.Module, optimisers: Sequence[Optimizer], average: WeightAverage | None
    ) -> None:
        """Write the state after `step` steps, or begin to, and remove all but the newest checkpoints.

        Raises:
            TrainingError: a weight is not finite; nothing is written.
            OutputError: the disk is full, or the folder cannot be written, now or for the checkpoint before, which was
                written in the background; earlier checkpoints are intact.
        """
        self.finish()
        self._check_finite(module, step)
        target = self._folder / f"step-{step:08d}"
        with self._explained(target):
            if self._group.is_first:
                shutil.rmtree(_partial(target), ignore_errors=True)
                _partial(target).mkdir(parents=True)
            self._group.wait()
            state = training_state(module, optimisers, average)
            alone = self._group.count == 1
            if self._thread is None:
                dcp.save(state, checkpoint_id=_partial(target), no_dist=alone)
                self._publish(step, target)
                self._group.wait()
                return
            saving: Any = dcp.async_save(
                state, checkpoint_id=_partial(target), process_group=self._processes, no_dist=alone
            )
            self._going_on = target, self._thread.submit(self._end, saving, step, target)

    def finish(self) -> None:
        """Wait for what is written in the background.

        Raises:
            OutputError: it could not be written.
        """
        if self._going_on is not None:
            target, ending = self._going_on
            self._going_on = None
            with self._explained(target):
                ending.result()
            self._group.wait()

    def _end(self, saving: Future[Any], step: int, target: Path) -> None:
        saving.result()  # on the first process: all processes have written, and it has written what they have
        self._publish(step, target)

    def _publish(self, step: int, target: Path) -> None:
        """Give a complete checkpoint its name, and remove old ones."""
        if not self._group.is_first:
            return
        partial = _partial(target)
        note = {"step": step, "options": self._run, "files": file_hashes(partial)}
        (partial / RUN_FILE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
        for old in checkpoints_in(self._folder)[: -self._keep]:
            shutil.rmtree(old)

    def _check_finite(self, module: nn.Module, step: int) -> None:
        bad = next((name for name, value in module.named_parameters() if not _is_finite(value)), None)
        found: list[str | None] = [bad]
        if self._group.count > 1:
            found = [None] * self._group.count
            dist.all_gather_object(found, bad)
        if any(found):
            name, advice = next(filter(None, found)), advice_after_failure(self._folder, self._run)
            raise TrainingError(f"step {step}: the weights of {name} are not finite; {advice}")

    @contextmanager
    def _explained(self, target: Path) -> Iterator[None]:
        """Turn errors of the disk and of torch into one message, and leave nothing half-written."""
        try:
            yield
        except (OSError, RuntimeError, CheckpointException) as error:
            if self._group.is_first:
                shutil.rmtree(_partial(target), ignore_errors=True)
            raise OutputError(
                f"{target}: cannot be written: {first_line(error)}; earlier checkpoints are intact: make space and run "
                "the same command to go on from the last of them"
            ) from error


def _partial(target: Path) -> Path:
    return target.with_name(f".{target.name}.partial")


def _is_finite(value: torch.Tensor) -> bool:
    local = value.to_local() if isinstance(value, DTensor) else value
    return not local.is_floating_point() or bool(local.detach().isfinite().all())
