"""Surroundings of things: how the camera moves, and what appears in a frame that belongs to nothing."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from videolavit.data.things.scene import Camera

__all__ = ["camera_motion", "strange_area", "unlike_the_rest"]

_PANNED, _ZOOMED = 12.0, 4.0
"""Pixels by which the place moves in a video from which on the camera has panned, and by which halves move apart."""
_UNLIKE = 44.0
"""Difference of a channel from which on a pixel is not what was there before."""
_STEP = 4
"""Frames between those that are compared for the camera."""


def camera_motion(
    frames: UInt8[np.ndarray, "frames height width 3"], hidden: Bool[np.ndarray, "frames height width"]
) -> Camera:
    """Motion of the camera, from the place where nothing hides it."""
    grey, hidden = _halved(frames.astype(np.float32).mean(3)), _halved(hidden.astype(np.float32)) > 0
    total, apart = np.zeros(2), 0.0
    for first in range(0, len(frames) - _STEP, _STEP):
        pair = grey[first], grey[first + _STEP]
        masks = hidden[first] | hidden[first + _STEP]
        total += _shift(*pair, masks, (slice(None), slice(None)))
        half = grey.shape[2] // 2
        left = _shift(*pair, masks, (slice(None), slice(0, half)))
        right = _shift(*pair, masks, (slice(None), slice(half, None)))
        apart += float(right[0] - left[0])
    if np.abs(total).max() > _PANNED:
        if abs(total[0]) > abs(total[1]):
            return "left" if total[0] > 0 else "right"
        return "up" if total[1] > 0 else "down"
    return "nearer" if apart > _ZOOMED else "still"


def _halved(values: np.ndarray) -> np.ndarray:
    frames, height, width = values.shape
    return values.reshape(frames, height // 2, 2, width // 2, 2).mean((2, 4))


def _shift(
    first: np.ndarray, second: np.ndarray, hidden: np.ndarray, part: tuple[slice, slice], most: int = 7
) -> Float32[np.ndarray, "2"]:
    """Shift (x, y) in pixels of a part at half its size, of the least difference where nothing is hidden."""
    one, other, open_ = first[part], second[part], ~hidden[part]
    best, found = np.inf, np.zeros(2, np.float32)
    height, width = one.shape
    for y in range(-most // 2, most // 2 + 1):
        for x in range(-most, most + 1):
            rows, cols = slice(max(y, 0), height + min(y, 0)), slice(max(x, 0), width + min(x, 0))
            back = slice(rows.start - y, rows.stop - y), slice(cols.start - x, cols.stop - x)
            both = open_[rows, cols] & open_[back]
            if both.sum() < 0.1 * both.size:
                continue
            off = float(np.abs(other[rows, cols] - one[back])[both].mean()) + 0.002 * (abs(x) + abs(y))
            if off < best:
                best, found = off, 2 * np.array([x, y], np.float32)
    return found


def unlike_the_rest(
    frames: UInt8[np.ndarray, "frames height width 3"], hidden: Bool[np.ndarray, "frames height width"], camera: Camera
) -> Bool[np.ndarray, "frames height width"]:
    """Pixels beside the things that no other frame nearby explains.

    Under a still camera all frames together say what the place looks like; under one that moves, the frame before and
    the one after it do, within a few pixels.
    """
    values = frames.astype(np.float32)
    if camera == "still":
        seen = np.where(hidden[..., None], np.nan, values)
        with np.errstate(all="ignore"):
            place = _median(seen)
        off = _beyond(values, place[None].repeat(len(values), 0), reach=1)
    else:
        before, after = (
            values[np.maximum(np.arange(len(values)) - 1, 0)],
            values[np.minimum(np.arange(len(values)) + 1, len(values) - 1)],
        )
        off = np.minimum(_beyond(values, before, reach=4), _beyond(values, after, reach=4))
    return (off > _UNLIKE) & ~hidden


def _median(seen: np.ndarray) -> np.ndarray:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a pixel that is always hidden has no colour
        return np.nanmedian(seen, axis=0)


def _beyond(values: np.ndarray, place: np.ndarray, reach: int) -> np.ndarray:
    """Largest difference of a channel to the colours that the place has around a pixel; 0 where it is unknown."""
    from scipy.ndimage import maximum_filter, minimum_filter

    size = (1, 2 * reach + 1, 2 * reach + 1, 1)
    known = ~np.isnan(place)
    low = minimum_filter(np.where(known, place, 255.0), size)
    high = maximum_filter(np.where(known, place, 0.0), size)
    off = np.maximum(values - high, low - values).max(3)
    return np.where(known.all(3), off, 0.0)


def strange_area(strange: Bool[np.ndarray, "height width"]) -> int:
    """Pixels of the largest patch."""
    from scipy.ndimage import label

    labels, count = label(strange)  # pyright: ignore[reportGeneralTypeIssues]
    return int(np.bincount(labels.ravel())[1:].max()) if count else 0
