"""A clip's motion in a few numbers and words, by which clips can be found and sorted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from videolavit.errors import ConfigError
from videolavit.video.editing.tick_motion import TICK_OPTIONS, TickMotion, tick_motion
from videolavit.video.io.limits import Limits
from videolavit.video.io.sources import Source, describe
from videolavit.video.motion.camera_fit import CameraStep, fit_camera

__all__ = ["CAMERAS", "DIRECTIONS", "MotionProfile", "motion_profiles"]

CAMERAS = ("still", "pan-left", "pan-right", "tilt-up", "tilt-down", "zoom-in", "zoom-out", "shaky")
DIRECTIONS = ("left", "right", "up", "down", "mixed", "none")

_SLOWEST_PAN = 0.02
"""Shares of the width a second."""
_SLOWEST_ZOOM = 0.02
"""Shares of the size a second."""
_LEAST_SHAKE = 0.02
_LEAST_AMOUNT = 0.003
_LEAST_AGREEMENT = 0.4
"""Length of the mean motion over the mean length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MotionProfile:
    """Motion of a piece of a video. Speeds are shares of the image's width a second."""

    source: str
    start_seconds: float | int
    end_seconds: float | int
    camera: str
    """One of `CAMERAS`: what the camera does most."""
    pan_x: float | int
    """Speed of the camera to the right; what is seen goes left."""
    pan_y: float | int
    """Speed of the camera down."""
    zoom: float | int
    """Growth of what is seen, a second."""
    shake: float | int
    """Spread of the camera's speed from tick to tick."""
    amount: float | int
    """Mean speed of what moves by itself, the camera taken out, over the whole image."""
    direction: str
    """One of `DIRECTIONS`: where most of that goes."""

    @property
    def camera_speed(self) -> float:
        """Of pan, tilt and zoom together."""
        return math.hypot(self.pan_x, self.pan_y, self.zoom)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


def motion_profiles(
    source: Source, *, seconds: float | int = 4.0, limits: Limits | None = None, motion: str = "reencode"
) -> Iterator[MotionProfile]:
    """Profiles of the pieces of a video, in order of time: a piece ends at a cut, or after `seconds`.

    Args:
        source: a path, the bytes of a file, or a file object.
        seconds: longest piece.
        limits: what to refuse.
        motion: `reencode`, or `source` for the vectors that an H.264 or MPEG file carries: faster, less exact.

    Raises:
        MediaError: there is no such file, it is not a video, or it is damaged beyond reading.
        LimitError: it is larger or longer than `limits` allow.
        ConfigError: `seconds` is no finite number above 0.
    """
    if not 0 < seconds < math.inf:
        raise ConfigError(f"got seconds={seconds!r}, expected a number above 0")
    options = TICK_OPTIONS.changed(motion=motion)
    fps, name = float(options.rate), describe(source)
    for piece in _pieces(tick_motion(source, options, limits=limits), max(2, round(seconds * fps))):
        yield _profile(piece, fps, options.cell, name)


def _pieces(ticks: Iterable[TickMotion], longest: int) -> Iterator[list[TickMotion]]:
    piece: list[TickMotion] = []
    for tick in ticks:
        if piece and (tick.starts_shot or len(piece) == longest):
            yield piece
            piece = []
        piece.append(tick)
    if piece:
        yield piece


def _profile(piece: Sequence[TickMotion], fps: float | int, cell: int, name: str) -> MotionProfile:
    width = piece[0].width
    moving = [tick for tick in piece if not tick.starts_shot]
    cameras = [fit_camera(tick.field, cell=cell, known=tick.textured) for tick in moving]
    steps = np.array([[step.x, step.y, step.zoom * width] for step in cameras]).reshape(-1, 3) * fps / width
    pan_x, pan_y, zoom = (-steps[:, 0].mean(), -steps[:, 1].mean(), steps[:, 2].mean()) if len(steps) else (0, 0, 0)
    shake = float(np.hypot(*np.diff(steps[:, :2], axis=0).T).mean()) if len(steps) > 1 else 0.0
    amount, direction = _own_motion(moving, cameras, fps, cell)
    return MotionProfile(
        source=name,
        start_seconds=round(piece[0].tick / fps, 3),
        end_seconds=round((piece[-1].tick + 1) / fps, 3),
        camera=_camera(float(pan_x), float(pan_y), float(zoom), shake),
        pan_x=round(float(pan_x), 4),
        pan_y=round(float(pan_y), 4),
        zoom=round(float(zoom), 4),
        shake=round(shake, 4),
        amount=round(amount, 4),
        direction=direction,
    )


def _own_motion(
    ticks: Sequence[TickMotion], cameras: Sequence[CameraStep], fps: float | int, cell: int
) -> tuple[float, str]:
    """Amount and direction of what moves by itself."""
    if not ticks:
        return 0.0, "none"
    rows, cols = ticks[0].field.shape[1:]
    own = np.stack(
        [
            (tick.field - camera.field(rows, cols, cell)) * tick.textured
            for tick, camera in zip(ticks, cameras, strict=True)
        ]
    )
    own *= fps / ticks[0].width
    speed = np.hypot(own[:, 0], own[:, 1])
    speed_sum, amount = float(speed.sum()), float(speed.mean())
    if amount < _LEAST_AMOUNT:
        return amount, "none"
    x, y = (float((own[:, axis] * speed).sum() / (speed**2).sum()) for axis in (0, 1))
    if math.hypot(x, y) < _LEAST_AGREEMENT or not speed_sum:
        return amount, "mixed"
    if abs(x) >= abs(y):
        return amount, "right" if x > 0 else "left"
    return amount, "down" if y > 0 else "up"


def _camera(pan_x: float | int, pan_y: float | int, zoom: float | int, shake: float | int) -> str:
    kinds = {
        "pan-right" if pan_x > 0 else "pan-left": abs(pan_x) / _SLOWEST_PAN,
        "tilt-down" if pan_y > 0 else "tilt-up": abs(pan_y) / _SLOWEST_PAN,
        "zoom-in" if zoom > 0 else "zoom-out": abs(zoom) / _SLOWEST_ZOOM,
    }
    steadiest = max(kinds, key=lambda kind: kinds[kind])
    if kinds[steadiest] >= 1 and kinds[steadiest] * _SLOWEST_PAN > shake / 2:
        return steadiest
    return "shaky" if shake >= _LEAST_SHAKE else "still"
