"""The protocol of a benchmark: numbered samples, a measure that asks a model, a summary, and what is aimed at.

The runner (`runner.py`) knows benchmarks only by this protocol. A new one is a class with these members, in a file of
`videolavit.evaluation.benchmarks` or in a package of its own that names it by an entry point of the group
`videolavit.benchmarks` (docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from videolavit.evaluation.statistics import Estimate

__all__ = ["Benchmark", "BenchmarkOptions", "Outcome", "Target", "Values"]

Values = Mapping[str, Any]
"""By name of the measure one bool or float, or a list of them, one for each thing that was counted."""


@dataclass(frozen=True, slots=True)
class Target:
    """Value that a measure should reach. For a `lower` one, less is better."""

    wanted: float
    least: float | None = None
    """Value that is still worth shipping."""
    lower: bool = False

    def met(self, value: float) -> str:
        """ "yes", "least" where only that is reached, or "no"."""
        for name, bound in (("yes", self.wanted), ("least", self.least)):
            if bound is not None and (value <= bound if self.lower else value >= bound):
                return name
        return "no"


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkOptions:
    """Options of a benchmark on the command line."""

    data: Path | None = None
    """Folder with the official files, as they are unpacked."""
    limit: int | None = None
    """Only the first samples; None for all."""
    seed: int = 0
    """Of what is sampled: captions, scenes, noise."""
    variant: str | None = None
    """One of the ways in which the benchmark can be done, by name; None for its own default."""
    networks: tuple[tuple[str, Path], ...] = ()
    """Names of feature networks, such as `i3d`, each with its file."""
    device: str = "cpu"
    """Device on which feature networks compute, by name; "auto" is a GPU where there is one."""
    features: Path | None = None
    """Folder in which feature vectors of real videos and images are kept for other models; None keeps none."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Outcome:
    """Result of one sample. Everything but `arrays` becomes a line of the record."""

    id: str
    """As the official files call the sample."""
    values: Values
    """Measured values."""
    group: str = ""
    """Video or image that the sample is about: intervals are bootstrapped over these, not over questions on them."""
    said: Mapping[str, Any] = field(default_factory=dict)
    """Further entries of the record: prompt, answer, options; JSON values."""
    failure: str = ""
    """Why the sample is counted as wrong without a word of the model; empty if all went well."""
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Feature vectors, which are kept in files beside the record."""


@runtime_checkable
class Benchmark(Protocol):
    """One benchmark, or one task of a set of them. See `question_benchmark.py` for the common case of questions."""

    @property
    def name(self) -> str:
        """Short and lower case; the name of its results."""
        ...

    @property
    def about(self) -> str:
        """Summary of the task in a line."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Parts of a checkpoint that a model must have (`components.py`)."""
        ...

    @property
    def targets(self) -> Mapping[str, Target]:
        """Values to reach, by name of the measure."""
        ...

    @property
    def batch_size(self) -> int:
        """Most samples that are measured together; fewer where that would take more than a minute."""
        ...

    @property
    def cost(self) -> float:
        """Seconds, about, that one sample takes on two cores."""
        ...

    def check(self) -> None:
        """Raise ConfigError, naming what is missing, if samples cannot be made here."""
        ...

    def count(self) -> int:
        """Number of samples."""
        ...

    def sample(self, number: int) -> Any:
        """One sample; the same number is the same sample on every machine."""
        ...

    def settings(self) -> dict[str, Any]:
        """All that decides what is measured besides the model, as JSON: data hashes, prompts, decoding, scorer."""
        ...

    def measure(self, model: Any, samples: Sequence[Any]) -> Sequence[Outcome | None]:
        """One outcome for each sample, in order; None for a sample that cannot be used and does not count.

        `model` is a `ModelAdapter`.
        """
        ...

    def failed(self, sample: Any, reason: str) -> Outcome | None:
        """Outcome of a sample whose media could not be read: counted as wrong where the officials do."""
        ...

    def summary(self, outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
        """Scores by name, from outcomes alone: it needs no data, so that records can be merged anywhere."""
        ...
