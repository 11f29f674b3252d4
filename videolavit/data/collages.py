"""Videos of any look and motion, drawn: cut-outs of images that slide, turn and grow over one another.

The shapes world is all ground and one thing. Real videos are full of edges, have no ground, and everything moves its
own way; what is trained on these as well leaves such videos alone where it cannot repair them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from videolavit.data.training_images import DeadLeaves

__all__ = ["render_collage"]

_MOST_CUT_OUTS = 6
_SPEED = 0.008
"""Typical speed of a layer, in sides of the video per frame: a pixel at 128 x 128."""
_STEADINESS = 0.9
"""Share of its speed that a layer keeps from frame to frame."""
_GROWTH, _TURN = 0.006, 0.008
"""Typical change of a layer's logarithmic size and of its angle, per frame."""


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    image: Image.Image
    """With an alpha channel."""
    size: float
    """Of the cut-out, in sides of the video."""
    path: Float[np.ndarray, "frames 4"]
    """Centre x and y in sides of the video, logarithmic growth, angle."""


def render_collage(seed: int, *, frames: int, size: int) -> UInt8[np.ndarray, "frames height width 3"]:
    """One clip, square; equal seeds give equal clips."""
    random = np.random.default_rng([9, seed])
    ground = _Layer(_still(random, size), 2.5, _path(random, frames, np.array([0.5, 0.5])))
    layers = [ground]
    for _ in range(int(random.integers(1, _MOST_CUT_OUTS + 1))):
        image = _cut_out(_still(random, size), random)
        layers.append(_Layer(image, random.uniform(0.2, 0.9), _path(random, frames, random.uniform(0, 1, 2))))
    return np.stack([_frame(layers, t, size) for t in range(frames)])


def _still(random: np.random.Generator, size: int) -> Image.Image:
    return Image.fromarray(DeadLeaves(size, size)[int(random.integers(2**40))]).convert("RGBA")


def _cut_out(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """A round or an angular piece of an image."""
    mask = Image.new("L", image.size)
    canvas, side = ImageDraw.Draw(mask), image.width
    if random.random() < 0.5:
        margin = side * random.uniform(0, 0.3)
        canvas.ellipse((0, margin, side, side - margin), fill=255)
    else:
        angles = np.sort(random.uniform(0, 2 * math.pi, int(random.integers(3, 9))))
        corners = side / 2 * (1 + np.stack([np.cos(angles), np.sin(angles)], axis=1))
        canvas.polygon([tuple(corner) for corner in corners.tolist()], fill=255)
    image.putalpha(mask)
    return image


def _path(random: np.random.Generator, frames: int, start: Float[np.ndarray, "2"]) -> Float[np.ndarray, "frames 4"]:
    """Speeds wander; some layers hardly move."""
    spread = np.array([_SPEED, _SPEED, _GROWTH, _TURN]) * random.choice([0.0, 0.5, 1.0, 2.0])
    speed, path = spread * random.normal(size=4), [np.array([*start, 0.0, 0.0])]
    for _ in range(frames - 1):
        speed = _STEADINESS * speed + math.sqrt(1 - _STEADINESS**2) * spread * random.normal(size=4)
        path.append(path[-1] + speed)
    return np.stack(path)


def _frame(layers: list[_Layer], t: int, size: int) -> UInt8[np.ndarray, "height width 3"]:
    frame = Image.new("RGB", (size, size))
    for layer in layers:
        x, y, growth, angle = layer.path[t]
        # Pillow wants the way back: from pixels of the frame to those of the layer's image.
        scale = layer.image.width / (layer.size * size * math.exp(growth))
        cos, sin, middle = scale * math.cos(angle), scale * math.sin(angle), layer.image.width / 2
        back = (cos, sin, middle - cos * x * size - sin * y * size, -sin, cos, middle + sin * x * size - cos * y * size)
        placed = layer.image.transform((size, size), Image.Transform.AFFINE, back, Image.Resampling.BICUBIC)
        frame.paste(placed, mask=placed)
    return np.asarray(frame)
