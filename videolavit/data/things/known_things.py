"""Keyframes of the world of things, rendered while a stage trains on them, with what is known of each thing in them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int, UInt8
from torch import Tensor

from videolavit.data.shapes.render import render as render_shapes
from videolavit.data.shapes.scene import sample_scene as sample_shapes
from videolavit.data.things.captions import image_captions
from videolavit.data.things.catalogue import STEPS, THINGS
from videolavit.data.things.render import NIGHT_THINGS, ground_frames, render
from videolavit.data.things.sampling import SceneOptions, sample_scene
from videolavit.data.things.scene import SIZE, Actor, Path, Scene
from videolavit.data.things.sources import Sources, load_sources

__all__ = [
    "Cells",
    "KeyframeSample",
    "RenderedKeyframes",
    "ThingTruth",
    "captions_of",
    "cells_of_things",
    "names_of_things",
]

_MOST_THINGS = 2
_HALFWAY = 0.9
"""Of a side view; a thing that shows less of it is turning round."""


class ThingTruth(NamedTuple):
    """Labels of things in keyframes; kind 0 is whatever is unknown."""

    kind: Float[Tensor, "*things"]
    """1 for the first thing of the catalogue."""
    mirrored: Float[Tensor, "*things"]
    """1 if it faces the other way than the artwork."""
    cell: Float[Tensor, "*things 3"]
    """Centre (x, y) and side of the thing's cell, in pixels."""
    light: Float[Tensor, "*things 3"]
    """By which its colours are multiplied."""

    @classmethod
    def of_rows(cls, rows: Float[Tensor, "*things 8"]) -> ThingTruth:
        """From the rows of `KeyframeSample.truth`."""
        return cls(rows[..., 0], rows[..., 1], rows[..., 2:5], rows[..., 5:])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KeyframeSample:
    """An image, and what is in it."""

    image: UInt8[np.ndarray, "height width 3"]
    masks: UInt8[np.ndarray, "things height width"]
    """255 where a thing is; nothing for things that there are not."""
    truth: Float32[np.ndarray, "things 8"]
    """The values of `ThingTruth`, in their order."""
    scene: int = -1
    """Seed of the scene if one thing is in it, and known, for `captions_of`; else -1."""


class Cells(NamedTuple):
    """Artwork of the first things of the catalogue, all poses one after the other."""

    kind: Int[Tensor, " n"]
    pose: Float[Tensor, " n"]
    images: Float[Tensor, "n 4 side side"]
    """Colours times alpha, and alpha, from 0 to 1."""
    poses: Float[Tensor, " kinds"]
    """Number of poses of each kind; 1 for kind 0, which is none."""


class RenderedKeyframes:
    """Samples without end: first frames of scenes, some of them of what is not to be known.

    Args:
        sources: the file that `videolavit prepare things-sources` wrote.
        known: number of things that are to be known, from the catalogue's beginning.
        unknown: share of images with other things, other styles, shapes, or nothing at all.
        first_seed: of the scenes.

    Raises:
        MediaError: the file is not there, or lacks something.
    """

    def __init__(self, sources: str, known: int, unknown: float, first_seed: int) -> None:
        self._sources, self._known, self._unknown, self._first = load_sources(sources), known, unknown, first_seed

    def __getitem__(self, draw: int) -> KeyframeSample:
        seed = self._first + draw
        kind = np.random.default_rng([29, seed]).random() / max(self._unknown, 1e-9)
        if kind >= 1:
            scene = sample_scene(seed, _options(self._known))
            sample = self._of_things(scene)
            alone = len(scene.actors) == 1 and sample.truth[0, 0] > 0
            return replace(sample, scene=seed) if alone else sample
        if kind >= 0.5:
            return self._of_things(sample_scene(seed))  # any thing of the catalogue
        if kind >= 0.2:
            return _nothing_known(render_shapes(sample_shapes(seed, extended=kind >= 0.35))[0])
        ground = ground_frames(sample_scene(seed), self._sources, 1)[0]
        return _nothing_known((ground + 0.5).clip(0, 255).astype(np.uint8))

    def _of_things(self, scene: Scene) -> KeyframeSample:
        rendered = render(scene, self._sources, 1)
        sample = _nothing_known(rendered.frames[0])
        sample.masks[: len(rendered.masks)] = rendered.masks[:, 0]
        for row, actor, path in zip(sample.truth, scene.actors, scene.paths(), strict=False):
            if (kind := _kind(actor, path, self._known)) > 0:
                facing, own = float(path.facing[0]), 1 if actor.thing.facing == "right" else -1
                row[:2] = kind, actor.thing.facing != "front" and facing * own < 0
                row[2:] = *path.centre[0], path.side[0], *(NIGHT_THINGS if scene.view.night else (1, 1, 1))
        return sample


def names_of_things(known: int) -> tuple[str, ...]:
    """Names of each of the first things of the catalogue, as in "dog, puppy"."""
    return tuple(", ".join((thing.name, *thing.synonyms)) for thing in THINGS[:known])


def captions_of(seeds: list[int], known: int) -> list[str]:
    """A caption of each scene, as for an image; seeds are those of `KeyframeSample.scene`."""
    return [image_captions(sample_scene(seed, _options(known)), seed, 1)[0] for seed in seeds]


@cache
def cells_of_things(sources: str, known: int, side: int) -> Cells:
    """Artwork at `side` pixels.

    Raises:
        MediaError: the file of sources is not there, or lacks something.
    """
    kinds, poses, images, counts = [], [], [], [1.0]
    for kind, thing in enumerate(THINGS[:known], 1):
        artwork = torch.from_numpy(_artwork(load_sources(sources), thing.name))
        kinds += [kind] * len(artwork)
        poses += range(len(artwork))
        images.append(F.interpolate(artwork, (side, side), mode="bilinear", antialias=True))
        counts.append(float(len(artwork)))
    return Cells(torch.tensor(kinds), torch.tensor(poses, dtype=torch.float32), torch.cat(images), torch.tensor(counts))


def _artwork(sources: Sources, name: str) -> Float32[np.ndarray, "poses 4 cell cell"]:
    """Colours times alpha, and alpha, from 0 to 1."""
    values = sources.poses(name).astype(np.float32).transpose(0, 3, 1, 2) / 255
    values[:, :3] *= values[:, 3:]
    return values


def _options(known: int) -> SceneOptions:
    return SceneOptions(things=max(known, STEPS[0]))


def _kind(actor: Actor, path: Path, known: int) -> int:
    """Number of a thing that is shown as its artwork shows it; 0 for others."""
    number = 1 + [one.name for one in THINGS].index(actor.name)
    whole = actor.thing.facing == "front" or abs(float(path.facing[0])) >= _HALFWAY
    return number if actor.style == "rendered" and number <= known and whole else 0


def _nothing_known(image: UInt8[np.ndarray, "height width 3"]) -> KeyframeSample:
    truth = np.zeros((_MOST_THINGS, 8), np.float32)
    return KeyframeSample(image=image, masks=np.zeros((_MOST_THINGS, SIZE, SIZE), np.uint8), truth=truth)
