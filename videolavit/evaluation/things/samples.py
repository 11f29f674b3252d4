"""Scenes of the world of things that training never drew, for tasks (`videolavit.evaluation.tasks`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from videolavit.data.prepare_videos import SHAPES_FRONT_END, video_record
from videolavit.data.shards import Record
from videolavit.data.things.render import Rendering, render
from videolavit.data.things.sampling import SceneOptions, sample_scene
from videolavit.data.things.scene import Scene
from videolavit.data.things.sources import Sources, load_sources
from videolavit.errors import ConfigError
from videolavit.evaluation.samples import FIRST_SEED, SEEDS_APART

__all__ = ["ThingsSample", "ThingsWorld"]


@dataclass(frozen=True, kw_only=True)
class ThingsSample:
    """A scene, rendered when somebody looks."""

    scene: Scene
    seed: int
    """Of the scene and of what a model draws of it."""
    sources: Sources
    num_things: int
    """Things that there are in this world."""

    @cached_property
    def rendering(self) -> Rendering:
        return render(self.scene, self.sources)

    @property
    def frames(self) -> UInt8[np.ndarray, "frames height width 3"]:
        return self.rendering.frames

    @property
    def id(self) -> str:
        """As records call it."""
        return f"things {self.seed}"

    @property
    def first_frame(self) -> UInt8[np.ndarray, "height width 3"]:
        return self.frames[0]

    @cached_property
    def record(self) -> Record | None:
        """The clips as the front end sees them; None for the rare scene whose keyframes fall elsewhere."""
        return video_record(self.frames, SHAPES_FRONT_END)


@dataclass(frozen=True, kw_only=True, slots=True)
class ThingsWorld:
    """Scenes of a split, from seeds that training never draws."""

    file: Path | None
    """File that `videolavit prepare things-sources` wrote."""
    scenes: SceneOptions

    def check(self) -> None:
        """Raise ConfigError where there are no images of things."""
        if self.file is None or not self.file.is_file():
            raise ConfigError(
                f"the world of things needs the images of things, got {self.file}; make them with "
                "`videolavit prepare things-sources -o things_sources.npz` and name the file with --data"
            )

    def settings(self) -> dict[str, int]:
        """Number of things: results of a smaller world are not those of this one."""
        return {"things": self.scenes.things}

    def count(self, wanted: int) -> int:
        """As many as are wanted: there is no end of them."""
        return wanted

    def sample(self, number: int, seed: int) -> ThingsSample:
        """Scene `number` of a seed."""
        self.check()
        scene_seed = FIRST_SEED + SEEDS_APART * seed + number
        return ThingsSample(
            scene=sample_scene(scene_seed, self.scenes),
            seed=scene_seed,
            sources=load_sources(str(self.file)),
            num_things=self.scenes.things,
        )
