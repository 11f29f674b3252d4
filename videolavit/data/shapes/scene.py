"""Scenes of the shapes world: what is in a video and what happens, drawn at random from a seed.

A `Scene` is exact ground truth. `render.py` turns it into frames, `words.py` into captions, questions and answers.
The *core* world has one object over a plain or smoothly textured ground; the *extended* world adds a second object,
growing and shrinking, and photographic grounds.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

__all__ = [
    "COLOURS",
    "DIRECTIONS",
    "FPS",
    "FRAMES_PER_CLIP",
    "GROUNDS",
    "RADII",
    "SHAPES",
    "SIZE",
    "SPEEDS",
    "Actor",
    "Event",
    "Ground",
    "Scene",
    "is_held_out",
    "sample_scene",
]

SIZE = 128
"""Height and width of an image in pixels."""
FPS = 6.0
FRAMES_PER_CLIP = 24

SHAPES = ("circle", "square", "triangle", "star")
COLOURS = ("red", "yellow", "green", "cyan", "blue", "magenta")
RADII = {"small": 16.0, "large": 24.0}
"""Pixels; the radius of the circle, about which the other shapes have a similar extent."""
SPEEDS = {"slowly": 1.25, "quickly": 3.0}
"""Pixels per frame; at most what lets the largest object cross the image within a clip."""
GROUNDS = ("plain", "textured", "photo")
PAN_SPEED = 1.5
"""Pixels per frame by which the ground moves under a panning camera."""
GROWTH = 0.6
"""Sum of the shares by which the radius of a growing object changes from frame to frame of a clip. They compound: it
ends 1.8 times as large."""

_DIAGONAL = math.sqrt(0.5)
DIRECTIONS: dict[str, tuple[float, float]] = {
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
    "up": (0.0, -1.0),
    "down": (0.0, 1.0),
    "up-left": (-_DIAGONAL, -_DIAGONAL),
    "up-right": (_DIAGONAL, -_DIAGONAL),
    "down-left": (-_DIAGONAL, _DIAGONAL),
    "down-right": (_DIAGONAL, _DIAGONAL),
    "still": (0.0, 0.0),
}
"""Unit vectors (x, y); y points down."""

Split = Literal["train", "held-out"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Action of an object during one clip."""

    direction: str
    speed: str = "slowly"
    growth: float = 0.0
    """Sum of the relative changes of the radius from frame to frame, which compound: 0 in the core world."""

    @property
    def velocity(self) -> tuple[float, float]:
        """(x, y) in pixels per frame."""
        x, y = DIRECTIONS[self.direction]
        return x * SPEEDS[self.speed], y * SPEEDS[self.speed]


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """One object: what it looks like, where it starts, what it does clip after clip."""

    shape: str
    colour: str
    size: str
    start: tuple[float, float]
    """Centre in the first frame, (x, y) in pixels."""
    events: tuple[Event, ...]
    pattern_phase: tuple[float, float] = (0.0, 0.0)

    def path(self) -> tuple[np.ndarray, np.ndarray]:
        """Centres (frames, 2) as x, y in pixels, and radii (frames,) of all frames of all clips."""
        steps = np.repeat([event.velocity for event in self.events], FRAMES_PER_CLIP, axis=0)
        growth = np.repeat([1 + event.growth / FRAMES_PER_CLIP for event in self.events], FRAMES_PER_CLIP)
        steps[0], growth[0] = 0.0, 1.0  # the first frame shows the start
        return np.array(self.start) + np.cumsum(steps, axis=0), RADII[self.size] * np.cumprod(growth)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """Ground behind the objects. Always less saturated than any object."""

    kind: str
    tone: float
    """Mean brightness, 0 to 1."""
    tint: tuple[float, float, float]
    """Offsets of red, green and blue."""
    seed: int
    """Of the texture, or which photograph and which part of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Ground truth of one video."""

    actors: tuple[Actor, ...]
    ground: Ground
    camera: str = "still"
    """Direction in which the camera pans; the ground moves the other way."""

    @property
    def num_clips(self) -> int:
        return len(self.actors[0].events)

    @property
    def num_frames(self) -> int:
        return self.num_clips * FRAMES_PER_CLIP


def is_held_out(shape: str, colour: str, direction: str) -> bool:
    """True if training never shows this combination: one in ten or so, each single value and pair of values is seen."""
    index = 3 * SHAPES.index(shape) + 7 * COLOURS.index(colour) + list(DIRECTIONS).index(direction)
    return index % 10 == 4


def sample_scene(
    seed: int, *, split: Split = "train", num_clips: int = 1, extended: bool = False, max_tries: int = 10_000
) -> Scene:
    """Draw a scene; equal arguments give equal scenes on every machine.

    Args:
        seed: any integer; training and evaluation must use disjoint ranges.
        split: `train` never shows a held-out combination, `held-out` always one (in the first clip).
        num_clips: events in a row, one per clip.
        extended: photographs, two objects, growing and shrinking.
        max_tries: draws after which the arguments are taken to be impossible.
    """
    random = np.random.default_rng([seed, num_clips, int(extended), int(split == "train")])
    ground, camera = _draw_surroundings(random, extended)
    num_actors = 2 if extended and random.random() < 0.5 else 1
    for _ in range(max_tries):
        actors = [_draw_actor(random, num_clips, extended) for _ in range(num_actors)]
        inside = [actor for actor in actors if actor is not None]
        apart = all(_apart(one, other) for one, other in itertools.combinations(inside, 2))
        if len(inside) == num_actors and apart and _belongs(inside, split):
            return Scene(actors=tuple(inside), ground=ground, camera=camera)
    raise ValueError(f"found no {split} scene of {num_clips} clips in {max_tries} tries; try at most 6 clips")


def _belongs(actors: list[Actor], split: Split) -> bool:
    held_out = [is_held_out(actor.shape, actor.colour, event.direction) for actor in actors for event in actor.events]
    return held_out[0] if split == "held-out" else not any(held_out)


def _draw_surroundings(random: np.random.Generator, extended: bool) -> tuple[Ground, str]:
    kind = str(random.choice(GROUNDS if extended else GROUNDS[:2]))
    red, green, blue = random.uniform(-0.03, 0.03, 3).tolist()
    tone, seed = float(random.uniform(0.3, 0.7)), int(random.integers(2**31))
    # A pan over a plain ground cannot be seen, so nobody may be asked about it.
    pans = kind != "plain" and random.random() < 0.3
    camera = str(random.choice(["left", "right", "up", "down"])) if pans else "still"
    return Ground(kind=kind, tone=tone, tint=(red, green, blue), seed=seed), camera


def _draw_actor(random: np.random.Generator, num_clips: int, extended: bool) -> Actor | None:
    """An actor that stays inside the image, or None if its events lead outside wherever it starts."""
    events = []
    for _ in range(num_clips):
        grows = extended and random.random() < 0.2
        direction = "still" if grows else str(random.choice(list(DIRECTIONS)))
        growth = float(random.choice([-0.5, 1.0]) * GROWTH) if grows else 0.0
        events.append(Event(direction=direction, speed=str(random.choice(list(SPEEDS))), growth=growth))
    actor = Actor(
        shape=str(random.choice(SHAPES)),
        colour=str(random.choice(COLOURS)),
        size=str(random.choice(list(RADII))),
        start=(0.0, 0.0),
        events=tuple(events),
        pattern_phase=tuple(random.uniform(0, 2 * math.pi, 2).tolist()),
    )
    centres, radii = actor.path()
    extent = 1.15 * radii[:, None]  # the points of a star reach a little over the radius
    lowest, highest = (extent - centres).max(axis=0), (SIZE - extent - centres).min(axis=0)
    if (lowest > highest).any():
        return None
    x, y = random.uniform(lowest, highest).tolist()
    return replace(actor, start=(x, y))


def _apart(one: Actor, other: Actor) -> bool:
    """Never overlapping, and of different colour so that a question can tell them apart."""
    (centres, radii), (other_centres, other_radii) = one.path(), other.path()
    distance = np.linalg.norm(centres - other_centres, axis=1)
    return one.colour != other.colour and bool((distance > 1.2 * (radii + other_radii)).all())
