"""Motion of a thing in one clip, read from its place, size, side and angle in every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from videolavit.data.things.catalogue import Thing
from videolavit.data.things.scene import DIRECTIONS, SIZE, SPEEDS, Event
from videolavit.evaluation.things.templates import Match

__all__ = ["MotionReading", "Track", "is_same_motion", "is_same_speed", "read_motion"]

_MOVED = 15.0
"""Pixels from which on a thing has gone somewhere in a clip; the slowest goes 29."""
_GROWN = 1.22
_LIFTED = 0.25
"""Share of its side by which a thing that jumps leaves the ground."""
_TURNED = 150.0
"""Degrees from which on a thing has spun; one that spins turns by 345."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MotionReading:
    """Observed action of a thing."""

    motion: str
    direction: str = ""
    speed: str = ""
    faces_right: bool = True
    pixels_per_frame: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Track:
    """A thing in the frames of a clip, as a camera that does not come nearer would see it."""

    centre: Float64[np.ndarray, "frames 2"]
    side: Float64[np.ndarray, " frames"]
    right: np.ndarray
    angle: Float64[np.ndarray, " frames"]

    @classmethod
    def of(cls, matches: Sequence[Match], zoom: Float64[np.ndarray, " frames"]) -> Track:
        """The track of a thing's matches; `zoom` is what the camera adds to sizes."""
        middle = (SIZE - 1) / 2
        centre = (np.array([match.centre for match in matches]) - middle) / zoom[:, None] + middle
        side = np.array([match.look.side for match in matches]) / zoom
        right = np.array([match.look.right for match in matches])
        angle = np.unwrap(np.array([match.look.angle for match in matches]), period=360)
        return cls(centre=centre, side=side, right=right, angle=angle)


def read_motion(track: Track, what: Thing) -> MotionReading:
    """The motion that explains a track best."""
    count = len(track.side)
    few = min(2, count)
    growth = np.median(track.side[-few:]) / np.median(track.side[:few])
    moved = np.median(track.centre[-few:], axis=0) - np.median(track.centre[:few], axis=0)
    moved = moved * (count - 1) / max(count - few, 1)
    distance, faces_right = float(np.hypot(*moved)), bool(np.mean(track.right) > 0.5)
    if growth > _GROWN or growth < 1 / _GROWN:
        return MotionReading(motion="comes nearer" if growth > 1 else "goes away", faces_right=faces_right)
    if distance > _MOVED:
        cosines = {name: float(np.dot(moved, way)) for name, way in DIRECTIONS.items()}
        per_frame = distance / max(count - 1, 1)
        border = (SPEEDS["slowly"] * SPEEDS["quickly"]) ** 0.5
        return MotionReading(
            motion="moves",
            direction=max(cosines, key=lambda name: cosines[name]),
            speed="slowly" if per_frame < border else "quickly",
            faces_right=faces_right,
            pixels_per_frame=per_frame,
        )
    return MotionReading(motion=_on_the_spot(track, what, few), faces_right=faces_right)


def _on_the_spot(track: Track, what: Thing, few: int) -> str:
    """Observed action of a thing that ends where it began."""
    (x, y), side = track.centre.T, float(np.median(track.side))
    if what.facing != "front" and np.mean(track.right[:few]) + np.mean(track.right[-few:]) == 1:
        return "turns round"
    if abs(track.angle[-1] - track.angle[0]) > _TURNED and (what.gait != "rolls" or np.ptp(x) < 8):
        return "spins"
    if np.ptp(x) > 18 and np.ptp(y) > 18:
        return "circles"
    height = np.percentile(y, 90) - y
    if height.max() > _LIFTED * side:
        up = height > 0.5 * height.max()
        hops = int(np.count_nonzero(np.diff(up.astype(int)) == 1)) + int(up[0])
        return "bounces" if hops > 1 else "jumps"
    return "rests"


def is_same_motion(read: MotionReading, asked: Event, what: Thing) -> bool:
    """True if what is seen is what was asked for, in its direction, and the thing faces where it goes."""
    if read.motion != asked.motion:
        return False
    sided = what.facing != "front" and what.nose is None and abs(asked.velocity[0]) > 0.1
    facing = not sided or read.faces_right == (asked.velocity[0] > 0)
    return read.direction == asked.direction and facing


def is_same_speed(read: MotionReading, asked: Event) -> bool:
    """True if a thing that was to move is as fast as was asked for."""
    return asked.motion != "moves" or read.speed == asked.speed
