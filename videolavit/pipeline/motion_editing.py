"""Motion as an editing language: what moves is one thing, how it moves another, so either can be changed alone.

Pure functions on motion fields. `VideoLaVIT.edit` applies them to videos, to tokens, or from one video to another.
Motion of one clip on the keyframe of another needs no function: it is the one's field beside the other's keyframe.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32

from videolavit.clip import MotionField
from videolavit.config import plain_number, true_or_false
from videolavit.errors import ConfigError

__all__ = ["MotionEdit", "freeze", "mirror", "reverse", "scale"]

_LARGEST_FACTOR = 100.0
_POINTS_PER_CELL = 4
"""Either way."""
_SAME = 0.25
"""Cells per frame by which two vectors of one object may differ."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MotionEdit:
    """Changes to the motion of a video, made in this order."""

    reverse: bool = False
    """Play it backwards, from its last frame."""
    mirror: bool = False
    """Left for right: what went left on the left side goes right on the right side."""
    scale: float | int = 1.0
    """Move so many times as far; -1 goes the opposite way."""
    freeze: bool = False
    """Do not move at all."""

    def __post_init__(self) -> None:
        for name in ("reverse", "mirror", "freeze"):
            object.__setattr__(self, name, true_or_false(name, getattr(self, name)))
        object.__setattr__(self, "scale", plain_number(self.scale))
        is_number = isinstance(self.scale, int | float) and not isinstance(self.scale, bool)
        if not is_number or not abs(self.scale) <= _LARGEST_FACTOR:  # refuses NaN, too
            raise ConfigError(
                f"got scale={self.scale!r}, expected a number from -{_LARGEST_FACTOR} to {_LARGEST_FACTOR}"
            )

    @property
    def changes_nothing(self) -> bool:
        """True if motion comes out as it went in."""
        return self == MotionEdit()

    def apply(self, motion: MotionField, num_frames: int | None = None) -> MotionField:
        """The changed field of a clip of which `num_frames` frames are shown, or all (None).

        One that is played backwards belongs to the last frame shown as its keyframe.
        """
        motion = reverse(motion, num_frames) if self.reverse else motion
        motion = mirror(motion) if self.mirror else motion
        motion = scale(motion, self.scale) if self.scale != 1 else motion
        return freeze(motion) if self.freeze else motion


def freeze(motion: MotionField, from_frame: int = 1) -> MotionField:
    """Nothing moves from that frame on."""
    values = motion.values.copy()
    values[:, from_frame:] = 0
    return replace(motion, values=values)


def mirror(motion: MotionField) -> MotionField:
    """The motion as a mirror shows it: columns in the opposite order, and x with the other sign."""
    values = motion.values[..., ::-1].copy()
    values[0] = -values[0]
    return replace(motion, values=values)


def reverse(motion: MotionField, num_frames: int | None = None) -> MotionField:
    """The motion of the first `num_frames` frames, or of all (None), backwards in time, for the last of them as the
    keyframe; nothing moves behind them.

    A vector stands where content arrives; backwards that is where it leaves from, one frame's motion away. Fields are
    smooth at that scale, so it is left where it is.
    """
    shown = motion.values[:, :num_frames]
    values = np.zeros_like(motion.values)
    values[:, 1 : shown.shape[1]] = -shown[:, :0:-1]
    return replace(motion, values=values)


def scale(motion: MotionField, factor: float | int) -> MotionField:
    """Everything goes `factor` times as far from where it is in the keyframe, in the same time.

    Vectors move along with what they move: an object at twice its speed is at another place, and there its vectors
    must be. Points of the keyframe are followed for that, and the result has as fine a grid as these.
    """
    rows, cols = motion.grid
    cell = np.array([motion.width / cols, motion.height / rows], np.float32)[:, None, None]  # x, y
    start = np.indices((rows * _POINTS_PER_CELL, cols * _POINTS_PER_CELL), np.float32)[::-1]
    start = (start + 0.5) / _POINTS_PER_CELL - 0.5  # x, y of points, in cells
    place, vectors, seen = start, np.zeros_like(start), np.ones(start.shape[1:], bool)
    result = np.zeros((2, motion.num_frames, *seen.shape), np.float32)
    for t in range(1, motion.num_frames):
        vectors, followed = _next_vectors(motion.values[:, t] / cell, place, vectors)
        place, seen = place + vectors, seen & followed
        scaled_place = start + factor * (place - start)
        result[:, t] = _filled(*_put(factor * vectors * cell, scaled_place, seen))
    return replace(motion, values=result)


def _next_vectors(
    field: Float[np.ndarray, "2 rows cols"], place: Float[np.ndarray, "2 n m"], before: Float[np.ndarray, "2 n m"]
) -> tuple[Float[np.ndarray, "2 n m"], Bool[np.ndarray, "n m"]]:
    """Points to which those of `place` go, and for which of them that is known: others have gone behind something.

    A vector stands where content arrives, so the one that takes a point from here to there is looked up there.
    """
    vectors = last = before
    for _ in range(3):
        last, vectors = vectors, _lookup(field, place + vectors)
    return vectors, np.abs(vectors - last).max(0) < _SAME


def _lookup(field: Float[np.ndarray, "2 rows cols"], place: Float[np.ndarray, "2 n m"]) -> np.ndarray:
    cols, rows = (_nearest(axis, size) for axis, size in zip(place, field.shape[:0:-1], strict=True))
    return field[:, rows, cols]


def _put(
    vectors: Float[np.ndarray, "2 n m"], place: Float[np.ndarray, "2 n m"], seen: Bool[np.ndarray, "n m"]
) -> tuple[Float32[np.ndarray, "2 n m"], Bool[np.ndarray, "n m"]]:
    """Vectors at the points nearest to their places, and which points got one. Of two the longer stays: an object
    moves in front of its ground."""
    cols, rows = np.rint((place + 0.5) * _POINTS_PER_CELL - 0.5).astype(int)
    inside = seen & (rows >= 0) & (rows < seen.shape[0]) & (cols >= 0) & (cols < seen.shape[1])
    order = np.argsort(np.square(vectors[:, inside]).sum(0), kind="stable")  # the longest is written last
    rows, cols = rows[inside][order], cols[inside][order]
    put, known = np.zeros_like(vectors, dtype=np.float32), np.zeros_like(seen)
    put[:, rows, cols], known[rows, cols] = vectors[:, inside][:, order], True
    return put, known


def _filled(
    vectors: Float32[np.ndarray, "2 rows cols"], known: Bool[np.ndarray, "rows cols"]
) -> Float32[np.ndarray, "2 rows cols"]:
    """Cells without a vector take the shortest one of their neighbours, ring by ring: what is uncovered is ground."""
    lengths = np.where(known, np.square(vectors).sum(0), np.inf)
    while np.isinf(lengths).any() and np.isfinite(lengths).any():
        ring_lengths = np.pad(lengths, 1, constant_values=np.inf)
        ring_vectors = np.pad(vectors, ((0, 0), (1, 1), (1, 1)))
        windows = [(r, c) for r in range(3) for c in range(3)]
        rows, cols = lengths.shape
        around = np.stack([ring_lengths[r : r + rows, c : c + cols] for r, c in windows])
        candidates = np.stack([ring_vectors[:, r : r + rows, c : c + cols] for r, c in windows])
        best = around.argmin(0)
        chosen = np.take_along_axis(candidates, best[None, None], axis=0)[0]
        vectors = np.where(np.isinf(lengths), chosen, vectors)
        lengths = np.where(np.isinf(lengths), around.min(0), lengths)
    return vectors


def _nearest(position: np.ndarray, count: int) -> np.ndarray:
    return np.clip(np.rint(position), 0, count - 1).astype(int)
