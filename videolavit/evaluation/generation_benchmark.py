"""Benchmarks that generate from prompts and compare with real videos or images by feature networks.

Each sample keeps its feature vectors beside the record, so that a run that was killed generates nothing twice, parts
merge exactly, and distances are always computed over samples in the order of their numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt8

from videolavit.errors import ConfigError, MediaError
from videolavit.evaluation.benchmark import BenchmarkOptions, Outcome, Target
from videolavit.evaluation.files import DataFile, file_sha256, found_file, of_official_form
from videolavit.evaluation.media import frames_at
from videolavit.evaluation.metrics.distances import frechet_distance, kernel_distance
from videolavit.evaluation.metrics.moments import Moments
from videolavit.evaluation.metrics.networks import Networks
from videolavit.evaluation.needs import VIDEO
from videolavit.evaluation.real_features import RealFeatures
from videolavit.evaluation.statistics import Bootstrap, Estimate

__all__ = [
    "PROTOCOLS",
    "ClipProtocol",
    "GenerationBenchmark",
    "Prompt",
    "distance_estimate",
    "features_of_real",
    "real_clip",
]

_CHUNK = 256
"""Feature vectors that are in memory at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipProtocol:
    """Frames of a video that the distances see. Papers differ here, so each choice has a name and stands in records."""

    num_frames: int | None
    """None for all."""
    fps: float | None
    """Of the real videos; None for that of the file."""
    random_offset: bool = False
    """Begin a real clip anywhere, by the seed of the sample; else at the start."""
    square: bool = False
    """Cut the centre square out before anything is resized."""


PROTOCOLS: Mapping[str, ClipProtocol] = {
    "paper24": ClipProtocol(num_frames=24, fps=6.0),
    "sgv16": ClipProtocol(num_frames=16, fps=None, random_offset=True, square=True),
    "full": ClipProtocol(num_frames=None, fps=None),
}
"""By name: clips as the paper generates them, as StyleGAN-V compares them, and whole videos."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One sample: a text to generate from, and the real thing to compare with."""

    id: str
    text: str
    seed: int
    real: Path | None = None
    facts: tuple[tuple[str, Any], ...] = ()
    """More for the record."""


class GenerationBenchmark(ABC):
    """Base class; see the text of this module."""

    name: ClassVar[str]
    about: ClassVar[str]
    files: tuple[DataFile, ...] = ()
    variants: ClassVar[tuple[str, ...]] = tuple(PROTOCOLS)
    useful: ClassVar[tuple[str, ...]]
    """Feature networks of which at least one must be given."""
    official_count: ClassVar[int | None] = None
    revision: ClassVar[int] = 2
    needs: tuple[str, ...] = VIDEO
    targets: Mapping[str, Target] = {}
    batch_size: int = 4
    cost: float = 1.0

    def __init__(self, options: BenchmarkOptions) -> None:
        """Take options; nothing is read yet.

        Raises:
            ConfigError: the variant or a network does not exist.
        """
        self.options = options
        self.variant = options.variant or self.variants[0]
        if self.variant not in self.variants:
            raise ConfigError(f"{self.name}: got the variant {self.variant!r}; known are {', '.join(self.variants)}")
        self.networks = Networks(dict(options.networks), device=options.device)
        self.real_features = RealFeatures(options.features, self.networks)

    @abstractmethod
    def read(self, data: Path) -> list[Prompt]:
        """All prompts, in a fixed order that the seed decides."""

    @abstractmethod
    def measure(self, model: Any, samples: Sequence[Prompt]) -> list[Outcome]:
        """Generate, and take features."""

    @abstractmethod
    def summary(self, outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
        """Distances and means."""

    def check(self) -> None:
        """Raise ConfigError if a file or every useful feature network is missing."""
        for file in self.files:
            found_file(self._data(), file, self.name)
        if not any(name in self.networks for name in self.useful):
            raise ConfigError(
                f"{self.name}: needs a feature network, at least one of {', '.join(self.useful)}; "
                f"pass --networks {self.useful[0]}=FILE (docs/evaluation.md says which file)"
            )
        _ = self.prompts

    def count(self) -> int:
        return len(self.prompts)

    def sample(self, number: int) -> Prompt:
        return self.prompts[number]

    @cached_property
    def prompts(self) -> list[Prompt]:
        """All prompts, or the first `limit`."""
        with of_official_form(self._data(), self.name):
            found = self.read(self._data())
        if not found:
            raise ConfigError(f"{self.name}: found no prompts in {self._data()}")
        return found[: self.options.limit]

    @property
    def protocol(self) -> ClipProtocol:
        """Frames that are compared."""
        return PROTOCOLS.get(self.variant, PROTOCOLS["paper24"])

    def settings(self) -> dict[str, Any]:
        found = [found_file(self._data(), file, self.name) for file in self.files]
        return {
            "benchmark": self.name,
            "revision": self.revision,
            "variant": self.variant,
            "clips": asdict(self.protocol) if self.variant in PROTOCOLS else None,
            "networks": self.networks.recipes(),
            "data": {path.name: file_sha256(path) for path in found if path is not None and path.is_file()},
            "limit": self.options.limit,
            "seed": self.options.seed,
            "official_count": self.official_count,
        }

    def failed(self, sample: Prompt, reason: str) -> Outcome:
        """Counted and named; distances have one pair less."""
        return Outcome(id=sample.id, values={}, said={"prompt": sample.text}, failure=reason)

    def submission(self, outcomes: Sequence[Outcome]) -> Any:
        """Nothing: there is no server."""
        return None

    def _data(self) -> Path:
        if self.options.data is None:
            raise ConfigError(f"{self.name}: needs the folder of its official files; pass --data FOLDER")
        if not self.options.data.is_dir():
            raise ConfigError(f"{self.options.data}: no such folder of data")
        return self.options.data


def features_of_real(
    features: RealFeatures, sample: Prompt, names: Sequence[str], protocol: ClipProtocol
) -> dict[str, np.ndarray]:
    """Features of a sample's real video by each network, of the frames that a protocol compares.

    Raises:
        MediaError: the video cannot be read, or is too short.
    """
    path = sample.real
    if path is None or not names:
        return {}
    offset = {"offset_seed": sample.seed} if protocol.random_offset else {}
    return features.of(path, names, asdict(protocol) | offset, lambda: real_clip(path, protocol, sample.seed))


def real_clip(path: Path, protocol: ClipProtocol, seed: int) -> UInt8[np.ndarray, "frames height width 3"]:
    """The frames of a real video that a protocol compares.

    Raises:
        MediaError: the video is shorter than that.
    """
    most = None if protocol.random_offset else protocol.num_frames
    frames = frames_at(path, protocol.fps, most=most)
    if protocol.num_frames is not None and len(frames) < protocol.num_frames:
        raise MediaError(f"{path}: has {len(frames)} frames, expected at least {protocol.num_frames}")
    if protocol.random_offset and protocol.num_frames is not None:
        start = int(np.random.default_rng([seed, 7]).integers(len(frames) - protocol.num_frames + 1))
        frames = frames[start : start + protocol.num_frames]
    return square(frames) if protocol.square else frames


def generated_clip(frames: UInt8[np.ndarray, "frames height width 3"], protocol: ClipProtocol) -> np.ndarray:
    """The frames of a generated video that a protocol compares: the first ones."""
    chosen = frames[: protocol.num_frames]
    return square(chosen) if protocol.square else chosen


def square(frames: UInt8[np.ndarray, "frames height width 3"]) -> np.ndarray:
    """The centre square."""
    height, width = frames.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return frames[:, top : top + side, left : left + side]


def distance_estimate(value: float, count: int) -> Estimate:
    """A distance without an interval: drawing with repetition would make it larger, not wider."""
    return Estimate(value=value, low=-np.inf, high=np.inf, count=count, is_share=False)


def distances(outcomes: Sequence[Outcome], one: str, other: str, *, frechet: str = "", kernel: str = "") -> dict:
    """Frechet and kernel distance, under their names, between two kinds of feature vectors of outcomes."""
    both = [each for each in outcomes if one in each.arrays and other in each.arrays]
    if len(both) < 2:
        return {}
    found = {}
    if frechet:
        first, second = (moments_of(both, name) for name in (one, other))
        found[frechet] = distance_estimate(frechet_distance(first, second), len(both))
    if kernel:
        first, second = (np.stack([each.arrays[name].reshape(-1) for each in both]) for name in (one, other))
        found[kernel] = distance_estimate(kernel_distance(first, second)[0], len(both))
    return found


def moments_of(outcomes: Sequence[Outcome], name: str) -> Moments:
    """Moments of one kind of feature vector, some outcomes at a time, always in the same chunks."""
    chunks = [outcomes[start : start + _CHUNK] for start in range(0, len(outcomes), _CHUNK)]
    return Moments.merged(Moments.of(np.stack([one.arrays[name].reshape(-1) for one in chunk])) for chunk in chunks)


def mean_of(outcomes: Sequence[Outcome], measure: str) -> dict[str, Estimate]:
    """Bootstrapped mean of one measure, under its name; nothing where no outcome has it."""
    told = [one for one in outcomes if measure in one.values]
    if not told:
        return {}
    bootstrap = Bootstrap([one.group or one.id for one in told])
    return {measure: bootstrap.mean([float(one.values[measure]) for one in told], is_share=False)}
