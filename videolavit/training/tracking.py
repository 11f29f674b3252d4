"""Reports of a run while it runs: JSONL and TensorBoard files, a progress bar, sample images."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

__all__ = ["Tracker", "WorkOfStep"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkOfStep:
    """Work of a step, over all processes; 0 for what is not known."""

    tokens: float = 0.0
    flops: float = 0.0
    """Operations that it needs at least."""
    peak: float = 0.0
    """Operations that all processes can do in a second."""


class Tracker:
    """Writes `log.jsonl`, TensorBoard events and images into a folder. On all but the first process, nothing."""

    def __init__(
        self, folder: Path, *, name: str, first_step: int, num_steps: int, batch_size: int, quiet: bool
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._batch_size, self._num_steps = folder, batch_size, num_steps
        self._log, self._is_told = folder / "log.jsonl", False
        with self._told():
            self._log.touch()
        self._board = _tensorboard(folder)
        self._bar = tqdm(total=num_steps, initial=first_step, desc=name, unit="step", disable=quiet or None)
        self._time, self._step = time.monotonic(), first_step

    def metrics(self, step: int, values: dict[str, float], work: WorkOfStep) -> None:
        """Numbers after `step` steps; speed since the last call and the time left are added.

        `mfu` is the share of what the processors could do that the steps needed (model FLOPs utilisation).
        """
        now = time.monotonic()
        steps_per_second = (step - self._step) / max(now - self._time, 1e-9)
        values = dict(values, samples_per_second=steps_per_second * self._batch_size)
        if work.tokens:
            values["tokens_per_second"] = steps_per_second * work.tokens
        if work.flops and work.peak:
            values["mfu"] = steps_per_second * work.flops / work.peak
        values["hours_left"] = (self._num_steps - step) / max(steps_per_second, 1e-9) / 3600
        self._time, self._step = now, step
        self.event(step=step, **values)
        self._show(step, values)
        self._bar.set_postfix_str(
            f"loss {values['loss']:.4g}, {values['samples_per_second']:.3g} samples/s", refresh=False
        )

    def held_out(self, step: int, values: dict[str, float]) -> None:
        """Numbers after `step` steps about data that are not trained on, as `held_out/...`."""
        values = {f"held_out/{name}": value for name, value in values.items()}
        self.event(step=step, **values)
        self._show(step, values)

    def _show(self, step: int, values: dict[str, float]) -> None:
        if self._board is not None:
            with self._told():
                for name, value in values.items():
                    self._board.add_scalar(name, value, step)

    def advance(self, step: int) -> None:
        """Move the bar to `step`."""
        self._bar.update(step - self._bar.n)

    def event(self, **values: Any) -> None:
        """One line of `log.jsonl`."""
        with self._told(), self._log.open("a") as log:
            log.write(json.dumps({"time": round(time.time(), 3), **values}) + "\n")

    def image(self, step: int, name: str, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """A PNG in `images/`."""
        with self._told():
            folder = self._folder / "images"
            folder.mkdir(exist_ok=True)
            Image.fromarray(image).save(folder / f"{name}-{step:08d}.png")
        if self._board is not None:
            with self._told():
                self._board.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close all files."""
        self._bar.close()
        if self._board is not None:
            with self._told():
                self._board.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say once that a report cannot be written, on a full disk for instance: the run does not depend on it."""
        try:
            yield
        except OSError as error:
            if not self._is_told:
                logger.warning("%s: reports cannot be written, and the run goes on without: %s", self._folder, error)
            self._is_told = True


def _tensorboard(folder: Path) -> Any:
    """A writer where TensorBoard (the `train` extra) is installed, else None: the JSONL holds the same numbers."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))
