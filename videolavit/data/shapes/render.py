"""Scenes of the shapes world as frames.

Objects are signed distance fields, sampled at sub-pixel positions and cut off softly, so a slow object moves
smoothly. A soft brightness pattern is attached to each: inside a flat object the encoder's motion search finds
nothing to follow and codes "no motion" (docs/shapes.md).
"""

from __future__ import annotations

import colorsys
import math
from functools import cache

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from videolavit.data.overlap import overlap
from videolavit.data.shapes.photos import photograph
from videolavit.data.shapes.scene import COLOURS, DIRECTIONS, PAN_SPEED, SIZE, Actor, Ground, Scene

__all__ = ["colour_value", "object_coverage", "render"]

PATTERN_PERIOD = 16.0
PATTERN_DEPTH = 0.35
SATURATION, BRIGHTNESS = 0.85, 0.74
"""Of objects; the pattern keeps brightness below 1 so that no channel saturates and the hue stays exact."""
_GRID_STEP = 1 / 24
"""Spacing of the sampled distance fields, in radii."""
_REACH = 1.5
"""Extent of the sampled distance fields, in radii."""


def render(scene: Scene) -> UInt8[np.ndarray, "frames height width 3"]:
    """All frames of a scene, RGB."""
    frames = _ground_frames(scene)
    for actor in scene.actors:
        _paint(frames, actor)
    return (frames * 255 + 0.5).clip(0, 255).astype(np.uint8)


def colour_value(colour: str) -> tuple[float, float, float]:
    """Mean RGB of an object of that colour, 0 to 1: hues lie 60 degrees apart."""
    return colorsys.hsv_to_rgb(COLOURS.index(colour) / len(COLOURS), SATURATION, BRIGHTNESS)


def object_coverage(
    shape: str,
    radius: Float32[np.ndarray, " frames"],
    x: Float32[np.ndarray, "frames width"],
    y: Float32[np.ndarray, "frames height"],
) -> Float32[np.ndarray, "frames height width"]:
    """Share of each pixel that an object covers, 0 to 1; `x` and `y` are pixel centres relative to its centre."""
    scale = (1 / (radius * _GRID_STEP))[:, None]
    middle = _REACH / _GRID_STEP
    cols, rows = x * scale + middle, y * scale + middle
    shape_of_sample = (len(radius), y.shape[1], x.shape[1])
    coordinates = np.stack(
        [
            np.broadcast_to(rows[:, :, None], shape_of_sample),
            np.broadcast_to(cols[:, None, :], shape_of_sample),
        ]
    )
    from scipy.ndimage import map_coordinates  # a fifth of a second, which help pages do not have

    distance = map_coordinates(_distance_field(shape), coordinates, order=1, mode="nearest")
    return np.clip(0.5 - distance * radius[:, None, None], 0, 1).astype(np.float32)


def _paint(frames: np.ndarray, actor: Actor) -> None:
    centres, radii = actor.path()
    half = math.ceil(1.3 * radii.max()) + 1
    corners = np.round(centres).astype(int) - half  # (frames, 2): x, y of the patch
    steps = np.arange(2 * half + 1)
    x = (corners[:, :1] + steps - centres[:, :1]).astype(np.float32)
    y = (corners[:, 1:] + steps - centres[:, 1:]).astype(np.float32)
    coverage = object_coverage(actor.shape, radii.astype(np.float32), x, y)
    wave_x = np.sin(2 * math.pi / PATTERN_PERIOD * x + actor.pattern_phase[0])
    wave_y = np.sin(2 * math.pi / PATTERN_PERIOD * y + actor.pattern_phase[1])
    brightness = 1 + PATTERN_DEPTH * wave_y[:, :, None] * wave_x[:, None, :]
    colour = np.array(colour_value(actor.colour), dtype=np.float32)
    for frame, (left, top), share, light in zip(frames, corners, coverage, brightness, strict=True):
        (rows, inside_rows), (cols, inside_cols) = (overlap(int(one), len(steps), SIZE) for one in (top, left))
        inside = inside_rows, inside_cols
        alpha = share[inside][..., None]
        frame[rows, cols] += alpha * (light[inside][..., None] * colour - frame[rows, cols])


def _ground_frames(scene: Scene) -> np.ndarray:
    """(frames, height, width, 3), float32, 0 to 1."""
    ground = scene.ground
    x, y = DIRECTIONS[scene.camera]
    offsets = PAN_SPEED * np.arange(scene.num_frames)[:, None] * np.array([x, y])
    offsets -= offsets.min(axis=0)
    width, height = (SIZE + 1 + np.ceil(offsets.max(axis=0)).astype(int)).tolist()
    canvas = _canvas(ground, height, width)
    if scene.camera == "still":
        return np.repeat(canvas[None, :SIZE, :SIZE], scene.num_frames, axis=0)
    return np.stack([_window(canvas, left, top) for left, top in offsets])


def _window(canvas: np.ndarray, left: float, top: float) -> np.ndarray:
    """An image-sized part of the canvas at a sub-pixel position, bilinear."""
    column, row = int(left), int(top)
    part = canvas[row : row + SIZE + 1, column : column + SIZE + 1]
    part = part[:, :-1] * (1 - (left - column)) + part[:, 1:] * (left - column)
    return (part[:-1] * (1 - (top - row)) + part[1:] * (top - row)).astype(np.float32)


def _canvas(ground: Ground, height: int, width: int) -> np.ndarray:
    if ground.kind == "photo":
        return photograph(ground.seed, height, width)
    grey = np.full((height, width), ground.tone, dtype=np.float32)
    if ground.kind == "textured":
        grey += _smooth_noise(ground.seed, height, width)
    return (grey[..., None] + np.array(ground.tint, dtype=np.float32)).clip(0, 1)


def _smooth_noise(seed: int, height: int, width: int) -> np.ndarray:
    """Brightness offsets of about +-0.2 with a grain of 8 to 16 pixels."""
    random = np.random.default_rng(seed)
    noise = np.zeros((height, width), dtype=np.float32)
    for grain, depth in ((16, 0.12), (8, 0.08)):
        coarse = random.uniform(-1, 1, (height // grain + 4, width // grain + 4)).astype(np.float32)
        image = Image.fromarray(coarse).resize(
            (coarse.shape[1] * grain, coarse.shape[0] * grain), Image.Resampling.BICUBIC
        )
        noise += depth * np.asarray(image)[grain : grain + height, grain : grain + width]
    return noise


@cache
def _distance_field(shape: str) -> np.ndarray:
    """Signed distance to the outline of a shape of radius 1, negative inside, on a square of side 2 `_REACH`."""
    axis = np.arange(-_REACH, _REACH + _GRID_STEP / 2, _GRID_STEP)
    x, y = np.meshgrid(axis, axis)
    if shape == "circle":
        return (np.hypot(x, y) - 1).astype(np.float32)
    return _polygon_distance(x, y, _corners(shape)).astype(np.float32)


def _corners(shape: str) -> np.ndarray:
    """Corners (n, 2) of a polygon about as large as the circle of radius 1; the first points up."""
    if shape == "square":
        return 0.88 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    if shape == "triangle":
        angles, radii = np.arange(3) / 3, np.full(3, 1.15)
    elif shape == "star":
        angles, radii = np.arange(10) / 10, np.tile([1.15, 0.52], 5)
    else:
        raise ValueError(f"got shape {shape!r}, expected circle, square, triangle or star")
    return np.stack([radii * np.sin(2 * math.pi * angles), -radii * np.cos(2 * math.pi * angles)], axis=1)


def _polygon_distance(x: np.ndarray, y: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Distance to the nearest edge; the sign comes from counting crossings of a ray to the right."""
    distance, inside = np.full(x.shape, np.inf), np.zeros(x.shape, dtype=bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edge_x, edge_y = x1 - x0, y1 - y0
        along = ((x - x0) * edge_x + (y - y0) * edge_y) / (edge_x**2 + edge_y**2)
        along = along.clip(0, 1)
        distance = np.minimum(distance, np.hypot(x - x0 - along * edge_x, y - y0 - along * edge_y))
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            inside ^= crosses & (x < x0 + (y - y0) * edge_x / edge_y)
    return np.where(inside, -distance, distance)
