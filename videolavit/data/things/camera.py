"""Flat views of a panorama, as a camera that turns and comes nearer sees it."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32, Float64, UInt8

__all__ = ["panorama_view"]


def panorama_view(
    panorama: UInt8[np.ndarray, "rows cols 3"],
    *,
    yaw: float,
    pitch: float,
    fov: float,
    size: int,
    zoom: float = 1.0,
) -> Float32[np.ndarray, "size size 3"]:
    """Colours, 0 to 255, of a square view: `yaw` to the right, `pitch` upwards and `fov` along a side, in degrees.

    `zoom` enlarges about the middle.
    """
    longitude, latitude = _directions(math.radians(yaw), math.radians(pitch), math.radians(fov), size, zoom)
    rows, cols, _ = panorama.shape
    x = (longitude / (2 * math.pi)) % 1 * cols - 0.5
    y = (0.5 - latitude / math.pi) * rows - 0.5
    return _bilinear(panorama, x, y)


def _focal(fov: float, size: int) -> float:
    return size / 2 / math.tan(fov / 2)


def _directions(
    yaw: float, pitch: float, fov: float, size: int, zoom: float
) -> tuple[Float64[np.ndarray, "size size"], Float64[np.ndarray, "size size"]]:
    """Longitude and latitude of each pixel, in radians."""
    axis = (np.arange(size) - (size - 1) / 2) / (_focal(fov, size) * zoom)
    x, down = np.meshgrid(axis, axis)
    up, forward = -down * math.cos(pitch) + math.sin(pitch), math.cos(pitch) + down * math.sin(pitch)
    return np.arctan2(x, forward) + yaw, np.arctan2(up, np.hypot(x, forward))


def _bilinear(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> Float32[np.ndarray, "size size 3"]:
    """Colours between pixels; the left and the right edge are neighbours."""
    rows, cols, _ = image.shape
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    across, down = (x - left).astype(np.float32)[..., None], (y - top).astype(np.float32)[..., None]
    left, right = left % cols, (left + 1) % cols
    top, bottom = top.clip(0, rows - 1), (top + 1).clip(0, rows - 1)
    upper = image[top, left] * (1 - across) + image[top, right] * across
    return upper * (1 - down) + (image[bottom, left] * (1 - across) + image[bottom, right] * across) * down
