"""What the module benchmarks measure: one row of their table, and how it is timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Case:
    """Two ways to the same numbers: the module, and the plain eager formulation of the same mathematics."""

    name: str
    ours: Callable[[], Tensor]
    plain: Callable[[], Tensor]
    least_speedup: float = 1.0
    """1.3 where attention is most of the work, 1 ("never slower") elsewhere."""

    def difference(self) -> float:
        """Largest difference of the two results, as a share of the largest value."""
        ours, plain = self.ours(), self.plain()
        return ((ours - plain).abs().max() / plain.abs().max()).item()

    def median_seconds(self, runs: int) -> tuple[float, float]:
        """(ours, plain), measured in turns, so that a machine that is busy for a while slows both."""
        measured = [(_seconds(self.ours), _seconds(self.plain)) for _ in range(runs)]
        ours, plain = (statistics.median(seconds) for seconds in zip(*measured, strict=True))
        return ours, plain


def _seconds(task: Callable[[], Tensor]) -> float:
    started = time.perf_counter()
    task()
    return time.perf_counter() - started
