"""Samples that a model is evaluated on: scenes of the shapes world that training never drew, and one's own videos.

A sample is a number. It stands for the same images on every machine, so a run can go on where it was stopped.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from videolavit.data.prepare_videos import SHAPES_FRONT_END, video_record
from videolavit.data.shapes import Scene, render, sample_scene
from videolavit.data.shapes.photos import photographs
from videolavit.data.shapes.scene import Split
from videolavit.data.shards import Record
from videolavit.data.user_videos import video_file_records
from videolavit.data.video_lists import VIDEO_EXTENSIONS, NamedVideo
from videolavit.errors import ConfigError
from videolavit.evaluation.files import file_sha256

__all__ = ["FIRST_SEED", "RealVideo", "RealVideos", "Samples", "SceneSample", "ShapesWorld"]

FIRST_SEED = 900_000_000
"""Of the scenes to evaluate on; training draws from far below (docs/shapes.md)."""
SEEDS_APART = 1_000_000
"""Between the scenes of one `seed` of an evaluation and the next."""


@runtime_checkable
class Samples(Protocol):
    """Numbered samples.

    Those that the name of a task and a seed do not decide alone have a method `settings`, too, which gives JSON values.
    """

    def check(self) -> None:
        """Raise ConfigError if they cannot be made here."""
        ...

    def count(self, wanted: int) -> int:
        """Number of samples, at most `wanted`."""
        ...

    def sample(self, number: int, seed: int) -> Any:
        """One of them; another `seed` gives another set where there are several."""
        ...


@dataclass(frozen=True, kw_only=True)
class SceneSample:
    """A scene, rendered when somebody looks."""

    scene: Scene
    seed: int
    """Of the scene and of what a model draws of it."""

    @cached_property
    def frames(self) -> UInt8[np.ndarray, "frames height width 3"]:
        return render(self.scene)

    @property
    def id(self) -> str:
        """As records call it."""
        return f"scene {self.seed}"

    @property
    def first_frame(self) -> UInt8[np.ndarray, "height width 3"]:
        return self.frames[0]

    @cached_property
    def record(self) -> Record | None:
        """The clips as the front end sees them; None for the rare scene whose keyframes fall elsewhere."""
        return video_record(self.frames, SHAPES_FRONT_END)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShapesWorld:
    """Scenes from seeds that training never draws."""

    unseen: bool = False
    """Only combinations of shape, colour and direction that training never shows; else only others."""
    num_clips: int = 1
    extended: bool = False
    wanted: Callable[[Scene], bool] = lambda scene: True
    """Scenes that count."""

    def check(self) -> None:
        """Raise ConfigError where the photographs of the extended world are missing."""
        if self.extended:
            photographs()

    def count(self, wanted: int) -> int:
        return wanted

    def sample(self, number: int, seed: int) -> SceneSample:
        """The first wanted scene from a seed of its own on."""
        split: Split = "held-out" if self.unseen else "train"
        first = FIRST_SEED + SEEDS_APART * seed + number
        for scene_seed in itertools.count(first, SEEDS_APART // 100):
            scene = sample_scene(scene_seed, split=split, num_clips=self.num_clips, extended=self.extended)
            if self.wanted(scene):
                return SceneSample(scene=scene, seed=scene_seed)
        raise AssertionError("unreachable")


@dataclass(frozen=True, kw_only=True)
class RealVideo:
    """A video file of any kind."""

    path: Path
    seed: int
    max_clips: int

    @property
    def id(self) -> str:
        """As records call it."""
        return self.path.name

    @cached_property
    def records(self) -> list[Record]:
        """Its first clips, one each, but for those with a cut inside.

        Raises:
            MediaError: the file cannot be read.
        """
        pieces = video_file_records(NamedVideo(path=self.path), SHAPES_FRONT_END)
        return list(itertools.islice(pieces, self.max_clips))


@dataclass(frozen=True, kw_only=True)
class RealVideos:
    """The videos of a folder."""

    folder: Path
    max_clips: int = 4
    """Of each video."""
    paths: tuple[Path, ...] = field(init=False)

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise ConfigError(f"{self.folder}: no such folder of videos")
        paths = tuple(path for path in sorted(self.folder.rglob("*")) if path.suffix.lower() in VIDEO_EXTENSIONS)
        if not paths:
            raise ConfigError(f"{self.folder}: holds no video ({', '.join(sorted(VIDEO_EXTENSIONS))})")
        object.__setattr__(self, "paths", paths)

    def check(self) -> None:
        """Nothing: the folder was looked at when this was made."""

    def settings(self) -> dict[str, Any]:
        """Digest of the names and contents of the videos: results of another folder are not those of this one."""
        lines = [f"{path.relative_to(self.folder)} {file_sha256(path)}\n" for path in self.paths]
        return {"videos": hashlib.sha256("".join(lines).encode()).hexdigest(), "max_clips": self.max_clips}

    def count(self, wanted: int) -> int:
        return min(wanted, len(self.paths))

    def sample(self, number: int, seed: int) -> RealVideo:
        return RealVideo(path=self.paths[number], seed=seed, max_clips=self.max_clips)
