"""Sets of tasks in a rendered world, such as shapes: each is a benchmark, with samples made from numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from videolavit.errors import ConfigError
from videolavit.evaluation.adapter import ModelAdapter
from videolavit.evaluation.benchmark import Benchmark, Outcome, Target
from videolavit.evaluation.samples import Samples
from videolavit.evaluation.statistics import Estimate

__all__ = ["Result", "Task", "choose_tasks", "each"]

Result = Mapping[str, bool | float | list[bool] | list[float]]
"""Values measured on one sample: by name of the measure one value, or one for each thing that was counted."""

REVISION = 1
"""To be counted up when a task measures something else than before, so that results kept in files are not mixed."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Task:
    """One thing to measure in a rendered world; a `Benchmark`."""

    name: str
    about: str
    """Summary of the task in a line."""
    needs: tuple[str, ...]
    """Parts of the checkpoint."""
    samples: Samples
    results: Callable[[ModelAdapter, Sequence[Any]], Sequence[Result | None]]
    """From a batch of samples to one result for each, None for one that cannot be used."""
    targets: Mapping[str, Target] = field(default_factory=dict)
    """By name of the measure."""
    batch_size: int = 20
    cost: float = 1.0
    """About how long one sample takes, relative to other tasks; for the progress bar."""
    is_core: bool = True
    """True if it is about the core world, on which targets are set."""
    seed: int = 0
    """Another one gives other scenes, and other draws of the model."""
    wanted: int = 500
    """Samples, if there are as many."""

    def with_samples(self, wanted: int, seed: int) -> Task:
        """The same task on so many samples of a seed.

        Raises:
            ConfigError: no sample is wanted, or the seed is negative.
        """
        if wanted < 1 or seed < 0:
            raise ConfigError(f"got samples={wanted} and seed={seed}, expected at least 1 and 0")
        return replace(self, wanted=wanted, seed=seed)

    def check(self) -> None:
        """Raise ConfigError if samples cannot be made here."""
        self.samples.check()

    def count(self) -> int:
        return self.samples.count(self.wanted)

    def sample(self, number: int) -> Any:
        return self.samples.sample(number, self.seed)

    def settings(self) -> dict[str, Any]:
        chosen = getattr(self.samples, "settings", dict)()
        return {"task": self.name, "seed": self.seed, "revision": REVISION} | ({"samples": chosen} if chosen else {})

    def measure(self, model: ModelAdapter, samples: Sequence[Any]) -> list[Outcome | None]:
        results = self.results(model, samples)
        return [
            None if result is None else Outcome(id=sample.id, values=result, group=sample.id)
            for sample, result in zip(samples, results, strict=True)
        ]

    def failed(self, sample: Any, reason: str) -> Outcome:
        """Counted and named, without values: a real video that cannot be read says nothing of the model."""
        return Outcome(id=sample.id, values={}, group=sample.id, failure=reason)

    def summary(self, outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
        """Share or mean of each measure, over all that was counted."""
        values: dict[str, list[Any]] = defaultdict(list)
        for outcome in outcomes:
            for measure, value in outcome.values.items():
                values[measure] += value if isinstance(value, list) else [value]
        return {measure: Estimate.of(found) for measure, found in values.items() if found}


def each(
    measure: Callable[[ModelAdapter, Any], Result | None],
) -> Callable[[ModelAdapter, Sequence[Any]], list[Result | None]]:
    """The results of a task whose samples are measured one after another."""
    return lambda model, samples: [measure(model, sample) for sample in samples]


def choose_tasks(benchmarks: Sequence[Benchmark], names: Sequence[str], *, hint: str = "") -> list[Benchmark]:
    """Benchmarks by name, in the order in which they are done; all of them for no names.

    Raises:
        ConfigError: there is no such task; `hint` says more.
    """
    known = [one.name for one in benchmarks]
    if unknown := sorted(set(names) - set(known)):
        raise ConfigError(f"got the tasks {', '.join(unknown)}; known are {', '.join(known)}{hint}")
    return [one for one in benchmarks if not names or one.name in names]
