"""Any benchmark, run on any model, batch by batch, in parts, and on from where it was stopped.

runner = Runner(model, benchmarks, path=...)     what is there already, what is still to do
for chunk in runner.pending(): runner.add(measure(model, benchmarks, chunk))
runner.outcomes("gqa")

`path` keeps every outcome as it comes (`journal.py`); `record.py` makes of a finished run the record that is shown to
others.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videolavit.errors import ConfigError, MediaError, PromptError
from videolavit.evaluation.benchmark import Benchmark, Outcome
from videolavit.evaluation.journal import Journal, Stored

__all__ = ["Chunk", "Measured", "Part", "Runner", "measure", "run_all"]

FORMAT = 2
"""To be counted up when outcomes mean something else than before, so that those kept in files are not mixed."""

_CHUNK_SECONDS = 60.0
"""Most that a chunk should take: what is killed loses one, and nobody waits longer for a limit of time to hold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Share of the samples that one process or machine measures."""

    index: int = 1
    """From 1 on."""
    total: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.total:
            raise ConfigError(f"got part {self.index}/{self.total}, expected I/N with I from 1 to N")

    @classmethod
    def parse(cls, text: str) -> Part:
        """The part that "I/N" names."""
        try:
            index, total = (int(number) for number in text.split("/"))
        except ValueError as error:
            raise ConfigError(f"got part {text!r}, expected I/N such as 1/4") from error
        return cls(index=index, total=total)

    def numbers(self, count: int) -> range:
        """Samples of this part: consecutive ones, since neighbours often share a video."""
        return range(count * (self.index - 1) // self.total, count * self.index // self.total)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Samples of one benchmark that are measured together."""

    task: str
    numbers: tuple[int, ...]
    cost: float
    """Of all of them; see `Benchmark.cost`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Results of a chunk."""

    chunk: Chunk
    outcomes: tuple[Outcome | None, ...]
    seconds: float


class Runner:
    """Benchmarks in progress."""

    def __init__(
        self, model: Any, benchmarks: Iterable[Benchmark], *, path: Path | None = None, part: Part | None = None
    ) -> None:
        """Look at what is there.

        Args:
            model: a `ModelAdapter`.
            benchmarks: what is measured; those that cannot be are left out and named in `skipped`.
            path: file for outcomes, of which those that are in it already are not measured again.
            part: share of the samples.

        Raises:
            OutputError: the file cannot be read or holds something else.
        """
        self.part = part or Part()
        self.skipped: dict[str, str] = {}
        """Why a benchmark cannot be done, by its name."""
        self.benchmarks = {one.name: one for one in benchmarks if self._is_possible(one, model)}
        self.model_digests = {name: model.identity(one.needs) for name, one in self.benchmarks.items()}
        """Digest of the weights and settings that each benchmark uses."""
        self.identities = {name: identity(self.model_digests[name], one) for name, one in self.benchmarks.items()}
        arrays = None if path is None else features_folder(path)
        self.journal = Journal(path, self.identities, arrays)

    def numbers(self, task: str) -> range:
        """Samples of a benchmark that belong to this part."""
        return self.part.numbers(self.benchmarks[task].count())

    def pending(self) -> list[Chunk]:
        """Samples that are still to be measured, in the order of the benchmarks."""
        found = []
        for name, benchmark in self.benchmarks.items():
            done = self.journal.of(name)
            todo = [number for number in self.numbers(name) if number not in done]
            size = max(1, min(benchmark.batch_size, int(_CHUNK_SECONDS / max(benchmark.cost, 1e-3))))
            for start in range(0, len(todo), size):
                numbers = tuple(todo[start : start + size])
                found.append(Chunk(task=name, numbers=numbers, cost=benchmark.cost * len(numbers)))
        return found

    def add(self, measured: Measured) -> None:
        """Keep outcomes."""
        self.journal.add(measured.chunk.task, measured.chunk.numbers, measured.outcomes, measured.seconds)

    def stored(self, task: str) -> dict[int, Stored]:
        """Outcomes of a benchmark and this part, by number of the sample."""
        done = self.journal.of(task)
        return {number: done[number] for number in self.numbers(task) if number in done}

    def outcomes(self, task: str) -> dict[int, Outcome]:
        """The usable outcomes among `stored`."""
        return {number: one.outcome for number, one in self.stored(task).items() if one.outcome is not None}

    def _is_possible(self, benchmark: Benchmark, model: Any) -> bool:
        if missing := model.missing(benchmark.needs):
            self.skipped[benchmark.name] = f"the model has no {', '.join(missing)}"
            return False
        try:
            benchmark.check()
        except ConfigError as error:
            self.skipped[benchmark.name] = str(error)
            return False
        return True


def identity(model_digest: str, benchmark: Benchmark) -> str:
    """Digest of everything that decides the outcomes of a benchmark: model, settings, form of the outcomes."""
    settings = json.dumps(benchmark.settings(), sort_keys=True, default=str)
    content = f"{FORMAT}/{model_digest}/{benchmark.name}/{settings}"
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def features_folder(path: Path) -> Path:
    """Folder for the feature vectors of a file of outcomes: `record.features` of `record.jsonl`."""
    return path.with_name(f"{path.name.split('.jsonl')[0]}.features")


def measure(model: Any, benchmarks: Sequence[Benchmark], chunk: Chunk) -> Measured:
    """Do one chunk. A sample whose media cannot be read is measured as failed, and the others without it."""
    [benchmark] = [one for one in benchmarks if one.name == chunk.task]
    started = time.monotonic()
    samples = [benchmark.sample(number) for number in chunk.numbers]
    try:
        outcomes = tuple(benchmark.measure(model, samples))
    except (MediaError, PromptError):
        outcomes = tuple(_alone(benchmark, model, sample) for sample in samples)
    return Measured(chunk=chunk, outcomes=outcomes, seconds=time.monotonic() - started)


def run_all(
    model: Any,
    benchmarks: Sequence[Benchmark],
    *,
    path: Path | None = None,
    part: Part | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Runner:
    """Measure everything, one chunk after another.

    Args:
        model: a `ModelAdapter`.
        benchmarks: what is measured.
        path: see `Runner`.
        part: see `Runner`.
        progress: called as `progress(task, done, total)` with numbers of chunks.
    """
    runner = Runner(model, benchmarks, path=path, part=part)
    todo = runner.pending()
    for done, chunk in enumerate(todo):
        if progress is not None:
            progress(chunk.task, done, len(todo))
        runner.add(measure(model, benchmarks, chunk))
    return runner


def _alone(benchmark: Benchmark, model: Any, sample: Any) -> Outcome | None:
    try:
        [outcome] = benchmark.measure(model, [sample])
    except (MediaError, PromptError) as error:
        return benchmark.failed(sample, str(error))
    return outcome
