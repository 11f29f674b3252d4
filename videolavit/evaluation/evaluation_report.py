"""Findings of an evaluation, as tables for a terminal and as JSON; `page.py` makes a page of it."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from videolavit import __version__
from videolavit.evaluation.benchmark import Benchmark, Target
from videolavit.evaluation.journal import Stored
from videolavit.evaluation.runner import Runner
from videolavit.evaluation.statistics import Estimate

__all__ = ["Report", "Row", "TaskReport", "machine", "report"]

_FAILURES_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One measure of one task."""

    measure: str
    estimate: Estimate
    target: Target | None = None

    @property
    def verdict(self) -> str:
        """True if the target is met: "yes", "least", "no", or nothing where there is none."""
        return "" if self.target is None else self.target.met(self.estimate.value)

    def cells(self) -> tuple[str, ...]:
        """Measure, value, interval, count, target, verdict."""
        return (
            self.measure,
            _number(self.estimate.value, self.estimate),
            self._interval(),
            str(self.estimate.count),
            self._target_cell(),
            self.verdict,
        )

    def _interval(self) -> str:
        if math.isinf(self.estimate.low) or math.isinf(self.estimate.high):
            return "too few samples"
        return f"{_number(self.estimate.low, self.estimate)} to {_number(self.estimate.high, self.estimate)}"

    def _target_cell(self) -> str:
        if self.target is None:
            return ""
        sign = "<=" if self.target.lower else ">="
        least = "" if self.target.least is None else f" ({_number(self.target.least, self.estimate)})"
        return f"{sign} {_number(self.target.wanted, self.estimate)}{least}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskReport:
    """All measures of one task."""

    name: str
    about: str
    is_core: bool
    num_samples: int
    seconds_per_sample: float
    rows: tuple[Row, ...]
    failures: tuple[str, ...] = ()
    """Samples that were counted as wrong without a word of the model, and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Everything that was measured."""

    tasks: tuple[TaskReport, ...]
    skipped: Mapping[str, str]
    """Why a task was not done, by its name."""
    samples: int
    """Samples that were wanted of each task."""
    seed: int
    machine: str = field(default_factory=lambda: machine())
    version: str = __version__

    def __getitem__(self, name: str) -> dict[str, Estimate]:
        """The estimates of a task by name of the measure."""
        [task] = [task for task in self.tasks if task.name == name]
        return {row.measure: row.estimate for row in task.rows}

    def table(self) -> str:
        """For a terminal."""
        blocks = [_text_table(task) for task in self.tasks if task.rows or task.num_samples]
        blocks += [f"{name}: not measured: {reason}" for name, reason in self.skipped.items()]
        return "\n\n".join(blocks)

    def as_json(self) -> dict[str, Any]:
        """For other programs; intervals that have no end are null."""
        return {
            "version": self.version,
            "machine": self.machine,
            "samples": self.samples,
            "seed": self.seed,
            "tasks": {task.name: _task_json(task) for task in self.tasks},
            "skipped": dict(self.skipped),
        }


def report(runner: Runner, *, samples: int, seed: int) -> Report:
    """Put together what a runner has so far."""
    begun = {name: stored for name in runner.benchmarks if (stored := list(runner.stored(name).values()))}
    waiting = {name: "not begun yet" for name in runner.benchmarks if name not in begun}
    tasks = tuple(_task_report(runner.benchmarks[name], stored) for name, stored in begun.items())
    return Report(tasks=tasks, skipped=runner.skipped | waiting, samples=samples, seed=seed)


def machine() -> str:
    """Processor, cores and versions, in a line."""
    import torch

    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{cores} cores of {name}{gpu}; Python {platform.python_version()}, torch {torch.__version__}"


def _task_report(benchmark: Benchmark, stored: Sequence[Stored]) -> TaskReport:
    used = [one.outcome for one in stored if one.outcome is not None]
    rows = tuple(
        Row(measure=measure, estimate=found, target=benchmark.targets.get(measure))
        for measure, found in (benchmark.summary(used) if used else {}).items()
    )
    return TaskReport(
        name=benchmark.name,
        about=benchmark.about,
        is_core=getattr(benchmark, "is_core", True),
        num_samples=len(used),
        failures=tuple(f"{one.id}: {one.failure}" for one in used if one.failure),
        seconds_per_sample=sum(one.seconds for one in stored) / max(1, len(stored)),
        rows=rows,
    )


def _number(value: float, estimate: Estimate) -> str:
    """Shares in per cent, means with three digits."""
    if math.isinf(value):
        return "?"
    return f"{100 * value:.1f} %" if estimate.is_share else f"{value:.3g}"


def _text_table(task: TaskReport) -> str:
    lines = [("", "value", "95 % interval", "n", "target", "met"), *(row.cells() for row in task.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = [f"{task.name}: {task.about} ({task.num_samples} samples, {task.seconds_per_sample:.2f} s each)"]
    if not task.rows:
        lines = []
        text.append("  no scores: too few samples, or a server has the answers (`videolavit evaluate submission`)")
    for name, *others in lines:
        cells = [other.rjust(width) for other, width in zip(others, widths[1:], strict=True)]
        text.append("  " + "  ".join([name.ljust(widths[0]), *cells]).rstrip())
    text += [f"  failed: {failure}" for failure in task.failures[:_FAILURES_SHOWN]]
    return "\n".join(text)


def _task_json(task: TaskReport) -> dict[str, Any]:
    return {
        "about": task.about,
        "core": task.is_core,
        "samples": task.num_samples,
        "failures": list(task.failures),
        "seconds_per_sample": round(task.seconds_per_sample, 4),
        "measures": {row.measure: _row_json(row) for row in task.rows},
    }


def _row_json(row: Row) -> dict[str, Any]:
    values = {name: None if value in (math.inf, -math.inf) else value for name, value in asdict(row.estimate).items()}
    return values | ({} if row.target is None else {"target": asdict(row.target), "met": row.verdict})


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()
    except OSError:
        return []
