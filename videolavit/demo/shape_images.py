"""Images and a video of shapes for visitors who have none at hand: what the small model knows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

__all__ = ["moving_shapes", "shape_image"]

_SIDE, _OVER = 128, 4
_GROUND, _RED, _BLUE = (235, 235, 235), (220, 40, 40), (40, 80, 220)
_FRAMES, _STEP = 24, 2


def shape_image(kind: Literal["circle", "square"]) -> bytes:
    """A PNG of a coloured shape on a light ground."""
    file, place = io.BytesIO(), (26, 48)
    _drawn(circle=place if kind == "circle" else None, square=place if kind == "square" else None).save(file, "PNG")
    return file.getvalue()


def moving_shapes() -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Frames of four seconds in which a circle moves to the right and a square, below it, to the left."""
    for frame in range(_FRAMES):
        way = _STEP * frame
        yield np.asarray(_drawn(circle=(20 + way, 16), square=(72 - way, 76)))


def _drawn(circle: tuple[int, int] | None = None, square: tuple[int, int] | None = None) -> Image.Image:
    """Shapes of 36 pixels at places (left, top)."""
    large = Image.new("RGB", (_SIDE * _OVER, _SIDE * _OVER), _GROUND)
    pen = ImageDraw.Draw(large)
    for place, draw, colour in ((circle, pen.ellipse, _RED), (square, pen.rectangle, _BLUE)):
        if place is not None:
            left, top = place
            draw([value * _OVER for value in (left, top, left + 36, top + 36)], fill=colour)
    return large.resize((_SIDE, _SIDE), Image.Resampling.BOX)
