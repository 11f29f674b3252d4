"""Scenes of the world of things: what a video shows and what happens in it, as data.

A `Scene` is exact ground truth and needs no images. `render.py` turns it into frames, `captions.py` and `questions.py`
into words. Every thing lies in a square cell; all positions, sizes and speeds are those of the cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from videolavit.data.things.catalogue import PLACES, THINGS, Thing, thing

__all__ = [
    "CAMERAS",
    "CIRCLE_RADIUS",
    "DIRECTIONS",
    "FOV_DEGREES",
    "FPS",
    "FRAMES_PER_CLIP",
    "MOTIONS",
    "RELATIONS",
    "SIDES",
    "SIZE",
    "SPEEDS",
    "STYLES",
    "Actor",
    "Camera",
    "Event",
    "Path",
    "Scene",
    "View",
    "is_held_out",
    "scene_from_json",
]

SIZE = 128
"""Height and width of a frame in pixels."""
FPS = 6.0
FRAMES_PER_CLIP = 24
FOV_DEGREES = 65.0
"""Field of view of the camera, along each side."""

SIDES = {"small": 40.0, "large": 62.0}
"""Pixels along the side of a thing's cell."""
SPEEDS = {"slowly": 1.25, "quickly": 2.5}
"""Pixels per frame."""
STYLES = ("rendered", "cartoon", "flat")

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
}
"""Unit vectors (x, y); y points down."""

MOTIONS = ("moves", "rests", "jumps", "bounces", "circles", "comes nearer", "goes away", "turns round", "spins")
RELATIONS = ("apart", "chases", "meets", "passes")
CAMERAS = ("still", "left", "right", "up", "down", "nearer")
Camera = Literal["still", "left", "right", "up", "down", "nearer"]

GROWTH = 1.55
"""Size of a thing that has come nearer over its size before."""
APPROACH = 8.0
"""Pixels by which its feet come down meanwhile."""
ZOOM = 1.3
"""The same for a camera that comes nearer."""
CIRCLE_RADIUS = 14.0
JUMP_HEIGHT, JUMP_FRAMES = 0.5, (4, 18)
"""In sides of the cell; first and last frame of the jump."""
BOUNCE_HEIGHT, BOUNCE_FRAMES = 0.35, 8
TURN_FRAMES = (8, 16)
PAN_DEGREES = 24.0
"""By which a camera pans or tilts in the whole video, whatever its length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Action of a thing during one clip."""

    motion: str
    direction: str = ""
    """For `moves`."""
    speed: str = "slowly"

    @property
    def velocity(self) -> tuple[float, float]:
        """(x, y) in pixels per frame of a thing that moves; 0 for other motions."""
        x, y = DIRECTIONS.get(self.direction, (0.0, 0.0))
        return x * SPEEDS[self.speed], y * SPEEDS[self.speed]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Path:
    """Place of a thing in each frame."""

    centre: Float64[np.ndarray, "frames 2"]
    """Of the cell, (x, y) in pixels."""
    side: Float64[np.ndarray, " frames"]
    angle: Float64[np.ndarray, " frames"]
    """Degrees, anticlockwise, by which the artwork is turned."""
    facing: Float64[np.ndarray, " frames"]
    """1 faces right, -1 left; in between while it turns round."""
    lift: Float64[np.ndarray, " frames"]
    """Pixels above the ground on which it stands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """One thing: what it looks like, where it starts, what it does clip after clip."""

    name: str
    size: str
    events: tuple[Event, ...]
    start: tuple[float, float] = (0.0, 0.0)
    """Centre of the cell in the first frame, (x, y) in pixels."""
    scale: float = 1.0
    """Of the cell, over the side that `size` says."""
    facing: str = "right"
    """Before the first event, which may say otherwise: `faces` is what the first frame shows."""
    phase: int = 0
    """Pose of the first frame."""
    style: str = "rendered"

    @property
    def thing(self) -> Thing:
        return thing(self.name)

    @property
    def faces(self) -> str:
        """The side that it faces in the first frame, "left" or "right": what circles begins to the right, and what
        moves looks where it goes."""
        return "right" if _at(self._before(), self.events[0], self.thing, 0).facing > 0 else "left"

    def path(self) -> Path:
        """Positions in all frames of all clips, without the camera."""
        state = self._before()
        rows = []
        for event in self.events:
            steps = [_at(state, event, self.thing, step) for step in range(FRAMES_PER_CLIP + 1)]
            rows += steps[:-1]
            state = _settled(steps[-1])
        x, y, side, angle, facing, lift = np.array([row.numbers() for row in rows]).T
        return Path(centre=np.stack([x, y], axis=1), side=side, angle=angle, facing=facing, lift=lift)

    def _before(self) -> _State:
        return _State(self.start, SIDES[self.size] * self.scale, 0.0, 1.0 if self.facing == "right" else -1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """Camera, place and time of a video."""

    place: str
    yaw: float
    """Degrees, of the first frame."""
    pitch: float
    """Degrees above the horizon, of the first frame."""
    night: bool = False
    camera: Camera = "still"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Ground truth of one video."""

    actors: tuple[Actor, ...]
    view: View
    relation: str = "apart"
    """Of the first thing to the second, in the first clip."""

    @property
    def num_clips(self) -> int:
        return len(self.actors[0].events)

    @property
    def num_frames(self) -> int:
        return self.num_clips * FRAMES_PER_CLIP

    def paths(self) -> list[Path]:
        """Positions of all things in all frames, as the camera sees them."""
        return [_zoomed(actor.path(), self.zoom()) for actor in self.actors]

    def zoom(self) -> Float64[np.ndarray, " frames"]:
        """Enlargement of each frame by a camera that comes nearer, from 1."""
        share = np.arange(self.num_frames) / self.num_frames
        return ZOOM**share if self.view.camera == "nearer" else np.ones(self.num_frames)

    def camera_angles(self) -> tuple[Float64[np.ndarray, " frames"], Float64[np.ndarray, " frames"]]:
        """Yaw and pitch of each frame in degrees."""
        turned = PAN_DEGREES * np.arange(self.num_frames) / self.num_frames
        yaw = {"right": turned, "left": -turned}.get(self.view.camera, 0 * turned)
        pitch = {"up": 0.6 * turned, "down": -0.6 * turned}.get(self.view.camera, 0 * turned)
        return self.view.yaw + yaw, self.view.pitch + pitch


def is_held_out(name: str, place: str, event: Event) -> bool:
    """True if training never shows this thing in this place, or never shows it move so.

    One in ten of either kind; every thing, place and motion by itself is seen.
    """
    index = [thing.name for thing in THINGS].index(name)
    where = [place.name for place in PLACES].index(place)
    ways = [*DIRECTIONS, *MOTIONS[1:]]
    way = ways.index(event.direction or event.motion)
    return (3 * index + 7 * where + index // 10) % 10 == 4 or (7 * index + 3 * way + index // 10) % 10 == 1


def scene_from_json(values: dict[str, Any]) -> Scene:
    """The scene of which `dataclasses.asdict` gave `values`."""
    actors = tuple(
        Actor(
            **{
                **actor,
                "start": tuple(actor["start"]),
                "events": tuple(Event(**event) for event in actor["events"]),
            }
        )
        for actor in values["actors"]
    )
    return Scene(actors=actors, view=View(**values["view"]), relation=values["relation"])


@dataclass(frozen=True, slots=True)
class _State:
    centre: tuple[float, float]
    side: float
    angle: float
    facing: float
    lift: float = 0.0

    def numbers(self) -> tuple[float, ...]:
        return *self.centre, self.side, self.angle, self.facing, self.lift


def _settled(state: _State) -> _State:
    return replace(state, lift=0.0, angle=state.angle % 360, facing=1.0 if state.facing > 0 else -1.0)


def _at(start: _State, event: Event, what: Thing, step: int) -> _State:
    """State `step` frames after the start of an event."""
    share, (x, y) = step / FRAMES_PER_CLIP, start.centre
    match event.motion:
        case "moves":
            return _moved(start, event, what, step)
        case "jumps":
            first, last = JUMP_FRAMES
            lift = _hop((step - first) / (last - first)) * JUMP_HEIGHT * start.side
            return replace(start, centre=(x, y - lift), lift=lift)
        case "bounces":
            lift = _hop(step % BOUNCE_FRAMES / BOUNCE_FRAMES) * BOUNCE_HEIGHT * start.side
            return replace(start, centre=(x, y - lift), lift=lift)
        case "circles":
            turned = 2 * math.pi * share
            return replace(
                start,
                centre=(x + CIRCLE_RADIUS * math.sin(turned), y - CIRCLE_RADIUS * (1 - math.cos(turned))),
                facing=start.facing if what.on_ground else math.copysign(1.0, math.cos(turned) + 1e-9),
            )
        case "comes nearer" | "goes away":
            sign = 1 if event.motion == "comes nearer" else -1
            side = start.side * GROWTH ** (sign * share)
            down = sign * APPROACH * share - (side - start.side) / 2 if what.on_ground else 0.0
            return replace(start, centre=(x, y + down), side=side)
        case "turns round":
            first, last = TURN_FRAMES
            turned = math.pi * min(max((step - first) / (last - first), 0.0), 1.0)
            return replace(start, facing=start.facing * math.cos(turned))
        case "spins":
            return replace(start, angle=start.angle + 360 * share)
        case "rests":
            return start
    raise ValueError(f"got motion {event.motion!r}, expected one of {MOTIONS}")


def _moved(start: _State, event: Event, what: Thing, step: int) -> _State:
    (x, y), (across, down) = start.centre, event.velocity
    facing = start.facing if abs(across) < 0.1 else math.copysign(1.0, across)
    angle = start.angle
    if what.nose is not None:  # the nose goes first; a mirrored thing would point the wrong way
        angle, facing = math.degrees(math.atan2(-down, across)) - what.nose, 1.0
    elif what.gait == "rolls":
        angle = start.angle - math.degrees(across * step / (start.side / 2))
    return replace(start, centre=(x + across * step, y + down * step), angle=angle, facing=facing)


def _hop(share: float) -> float:
    """Height of a hop, 0 to 1, on a parabola."""
    return max(0.0, 4 * share * (1 - share))


def _zoomed(path: Path, zoom: np.ndarray) -> Path:
    middle = (SIZE - 1) / 2
    return Path(
        centre=(path.centre - middle) * zoom[:, None] + middle,
        side=path.side * zoom,
        angle=path.angle,
        facing=path.facing,
        lift=path.lift * zoom,
    )
