"""An arrow drawn on an image as a field of motion: what is under its tail goes to its tip, in one clip.

A vector stands where content arrives (see `MotionField`), so in every frame the moved region has its vectors at the
place that it has reached by then; all else stands still.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

import numpy as np
from jaxtyping import Bool, UInt8

from videolavit.clip import MotionField
from videolavit.errors import ConfigError

__all__ = ["Moved", "arrow_motion", "region_at"]

Moved = Literal["thing", "disc", "everything"]
"""Things that an arrow moves: pixels of about the same colour around its tail, a disc around it, or the whole image."""

_COLOUR_DISTANCE = 40.0
"""Of RGB values, 0 to 255, by which a thing's pixels may differ from the one under the tail."""
_DISC_SHARE = 0.15
"""Radius of the disc as a share of the shorter side."""
_GROWN_CELLS = 2
"""By which a region is made larger: the ground right around a thing moves with it, as with an encoder's blocks. With
less of it the thing leaves a trail, because motion compensation blends the vectors of neighbouring cells."""


def arrow_motion(
    image: UInt8[np.ndarray, "height width 3"],
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    moved: Moved = "thing",
    num_frames: int = 24,
    grid: tuple[int, int] | None = None,
) -> MotionField:
    """Motion of a clip in which a region of its keyframe goes along an arrow, at even speed.

    Args:
        image: the keyframe, RGB.
        start: (x, y) of the arrow's tail in pixels of the image.
        end: (x, y) of its tip.
        moved: what it takes along.
        num_frames: of the clip, the keyframe included.
        grid: (rows, cols) of the field; by default one cell for every four pixels.

    Raises:
        ConfigError: the tail lies outside the image, or `moved` is unknown.
    """
    height, width = image.shape[:2]
    rows, cols = grid or (max(1, height // 4), max(1, width // 4))
    region = region_at(image, start, moved)
    if moved == "thing":
        region = _grown(region, _GROWN_CELLS * -(-height // rows))
    step = (np.asarray(end, np.float64) - np.asarray(start, np.float64)) / (num_frames - 1)
    values = np.zeros((2, num_frames, rows, cols), np.float32)
    for frame in range(1, num_frames):
        arrived = np.ones((rows, cols), np.float32)
        if moved != "everything":
            arrived = _cells(_shifted(region, step * frame), rows, cols)
        values[:, frame] = step[:, None, None] * (arrived > 0)
    return MotionField(values=values, height=height, width=width)


def region_at(
    image: UInt8[np.ndarray, "height width 3"], point: tuple[float, float], moved: Moved
) -> Bool[np.ndarray, "height width"]:
    """Pixels of what an arrow with its tail at (x, y) points away from.

    Raises:
        ConfigError: the point lies outside the image, or `moved` is unknown.
    """
    height, width = image.shape[:2]
    col, row = int(point[0]), int(point[1])
    if not (0 <= row < height and 0 <= col < width):
        raise ConfigError(f"the arrow starts at {col}, {row}, outside an image of {width} x {height}")
    if moved == "everything":
        return np.ones((height, width), bool)
    rows, cols = np.ogrid[:height, :width]
    if moved == "disc":
        return np.hypot(rows - row, cols - col) <= _DISC_SHARE * min(height, width)
    if moved != "thing":
        raise ConfigError(f'got moved={moved!r}, expected "thing", "disc" or "everything"')
    alike = np.linalg.norm(image.astype(np.float32) - image[row, col].astype(np.float32), axis=-1) <= _COLOUR_DISTANCE
    return _connected(alike, row, col)


def _connected(alike: Bool[np.ndarray, "height width"], row: int, col: int) -> Bool[np.ndarray, "height width"]:
    """The part of a mask that is connected with one pixel."""
    found = np.zeros_like(alike)
    found[row, col] = True
    line = deque([(row, col)])
    height, width = alike.shape
    while line:
        r, c = line.popleft()
        for near_r, near_c in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
            inside = 0 <= near_r < height and 0 <= near_c < width
            if inside and alike[near_r, near_c] and not found[near_r, near_c]:
                found[near_r, near_c] = True
                line.append((near_r, near_c))
    return found


def _grown(mask: Bool[np.ndarray, "height width"], pixels: int) -> Bool[np.ndarray, "height width"]:
    for _ in range(pixels):
        padded = np.pad(mask, 1)
        mask = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:] | mask
    return mask


def _shifted(mask: Bool[np.ndarray, "height width"], by: np.ndarray) -> Bool[np.ndarray, "height width"]:
    """The mask moved by (x, y), to the nearest pixel; what leaves the image is gone."""
    height, width = mask.shape
    x, y = (round(float(value)) for value in by)
    result = np.zeros_like(mask)
    if abs(x) < width and abs(y) < height:
        part = mask[max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)]
        result[max(0, y) : max(0, y) + part.shape[0], max(0, x) : max(0, x) + part.shape[1]] = part
    return result


def _cells(mask: Bool[np.ndarray, "height width"], rows: int, cols: int) -> np.ndarray:
    """1 for cells whose middle lies in the mask."""
    height, width = mask.shape
    middle_rows = ((np.arange(rows) + 0.5) * height / rows).astype(int)
    middle_cols = ((np.arange(cols) + 0.5) * width / cols).astype(int)
    return mask[np.ix_(middle_rows, middle_cols)].astype(np.float32)
