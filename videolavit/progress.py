"""Progress of a piece of work: a callback that is told each step, and the seconds that each step took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from videolavit.errors import ConfigError

__all__ = ["Progress", "ProgressCallback"]

ProgressCallback = Callable[[str, int, int], None]
"""Called as progress(stage, done, total), with done from 0 to total. Stages are "load" (components that
are needed for the first time), "encode" (images and clips), "generate" (ids), "rank" (candidates), "keyframe" and
"frames" (denoising steps) and "warp"; a total of 0 is one that is not known. To stop the work, raise."""


class Progress:
    """A piece of work under way: the time of its steps so far, and the callback that hears of them.

    Raises:
        ConfigError: the callback is no function.
    """

    def __init__(self, callback: ProgressCallback | None = None) -> None:
        self.timings: dict[str, float] = {}
        """Seconds by step."""
        if callback is not None and not callable(callback):
            raise ConfigError(f"got progress={callback!r}, expected a function of a stage, what is done, and the total")
        self._callback = callback

    @contextmanager
    def step(self, stage: str, total: int = 0) -> Iterator[Callable[[int], None]]:
        """Time a step; call what it yields with how much of `total` is done."""
        self._tell(stage, 0, total)
        started = time.perf_counter()
        try:
            yield lambda done: self._tell(stage, done, total)
        finally:
            self.timings[stage] = self.timings.get(stage, 0.0) + time.perf_counter() - started

    def take_timings(self) -> dict[str, float]:
        """The timings since the last call; the next one starts from nothing."""
        taken, self.timings = self.timings, {}
        return taken

    def _tell(self, stage: str, done: int, total: int) -> None:
        if self._callback is not None:
            self._callback(stage, done, total)
