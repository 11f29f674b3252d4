"""Measure a model, task by task and batch by batch: `evaluate` for Python, its steps for the command line.

plan = Plan(samples=500)             what to measure
run = Evaluation(subject, plan)      what is there already, what is still to do
for chunk in run.pending(): run.add(chunk, measure(subject, plan, chunk))
run.report()
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from videolavit.errors import ConfigError
from videolavit.evaluation.report import Report, report
from videolavit.evaluation.results import Results
from videolavit.evaluation.shapes import shapes_tasks
from videolavit.evaluation.subject import Subject
from videolavit.evaluation.tasks import Result, Task

__all__ = ["Chunk", "Evaluation", "Measured", "Plan", "evaluate_subject", "measure"]

REVISION = 1
"""To be counted up when a task measures something else than before, so that results kept in files are not mixed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to measure."""

    tasks: tuple[str, ...] | None = None
    """None for all of them."""
    samples: int = 500
    """Of each task."""
    seed: int = 0
    """Another one gives other scenes, and other draws of the model."""
    videos: Path | None = None
    """Folder of real videos, for the task `real_videos`."""

    def __post_init__(self) -> None:
        if self.samples < 1 or self.seed < 0:
            raise ConfigError(f"got samples={self.samples} and seed={self.seed}, expected at least 1 and 0")
        shapes_tasks(self.tasks, videos=self.videos)

    def all_tasks(self) -> list[Task]:
        """The tasks themselves."""
        return shapes_tasks(self.tasks, videos=self.videos)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Samples of one task that are measured together."""

    task: str
    numbers: tuple[int, ...]
    cost: float
    """Of all of them; see `Task.cost`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What a chunk gave."""

    chunk: Chunk
    results: tuple[Result | None, ...]
    seconds: float


class Evaluation:
    """A plan in progress."""

    def __init__(self, subject: Subject, plan: Plan, path: Path | None = None) -> None:
        self.plan = plan
        self.skipped: dict[str, str] = {}
        """Why a task cannot be done, by its name."""
        self._tasks = [task for task in plan.all_tasks() if self._is_possible(task, subject)]
        identities = {task.name: f"{subject.identity(task.needs)}/{plan.seed}/{REVISION}" for task in self._tasks}
        self._results = Results(path, identities)

    def pending(self) -> list[Chunk]:
        """What is still to be measured, in the order of the tasks."""
        found = []
        for task in self._tasks:
            done = self._results.of(task.name)
            todo = [number for number in range(task.samples.count(self.plan.samples)) if number not in done]
            for start in range(0, len(todo), task.batch_size):
                numbers = tuple(todo[start : start + task.batch_size])
                found.append(Chunk(task=task.name, numbers=numbers, cost=task.cost * len(numbers)))
        return found

    def add(self, measured: Measured) -> None:
        """Keep results."""
        self._results.add(measured.chunk.task, measured.chunk.numbers, measured.results, measured.seconds)

    def report(self) -> Report:
        """What all results so far say."""
        wanted = {task: [self._results.of(task.name)[number] for number in self._numbers(task)] for task in self._tasks}
        skipped = self.skipped | {task.name: "not begun yet" for task, results in wanted.items() if not results}
        begun = {task: results for task, results in wanted.items() if results}
        return report(begun, skipped, samples=self.plan.samples, seed=self.plan.seed)

    def _numbers(self, task: Task) -> list[int]:
        done = self._results.of(task.name)
        return [number for number in range(task.samples.count(self.plan.samples)) if number in done]

    def _is_possible(self, task: Task, subject: Subject) -> bool:
        if missing := subject.missing(task.needs):
            self.skipped[task.name] = f"the model has no {', '.join(missing)}"
            return False
        try:
            task.samples.check()
        except ConfigError as error:
            self.skipped[task.name] = str(error)
            return False
        return True


def measure(subject: Subject, plan: Plan, chunk: Chunk) -> Measured:
    """Do one chunk."""
    [task] = shapes_tasks([chunk.task], videos=plan.videos)
    started = time.monotonic()
    samples = [task.samples.sample(number, plan.seed) for number in chunk.numbers]
    results = tuple(task.measure(subject, samples))
    return Measured(chunk=chunk, results=results, seconds=time.monotonic() - started)


def evaluate_subject(
    subject: Subject,
    plan: Plan,
    *,
    path: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Measure everything that a plan says, one chunk after another.

    Args:
        subject: what is measured.
        plan: what to measure.
        path: file for the results, of which those that are in it already are not measured again.
        progress: called as `progress(task, done, total)` with numbers of chunks.
    """
    evaluation = Evaluation(subject, plan, path)
    todo: Sequence[Chunk] = evaluation.pending()
    for done, chunk in enumerate(todo):
        if progress is not None:
            progress(chunk.task, done, len(todo))
        evaluation.add(measure(subject, plan, chunk))
    return evaluation.report()
