"""Images of shapes for visitors who have none at hand: what the small model knows."""

from __future__ import annotations

import io
from typing import Literal

from PIL import Image, ImageDraw

__all__ = ["shape_image"]

_SIDE, _OVER = 128, 4


def shape_image(kind: Literal["circle", "square"]) -> bytes:
    """A PNG of a coloured shape on a light ground."""
    large = Image.new("RGB", (_SIDE * _OVER, _SIDE * _OVER), (235, 235, 235))
    pen, box = ImageDraw.Draw(large), [value * _OVER for value in (26, 48, 62, 84)]
    if kind == "circle":
        pen.ellipse(box, fill=(220, 40, 40))
    else:
        pen.rectangle(box, fill=(40, 80, 220))
    file = io.BytesIO()
    large.resize((_SIDE, _SIDE), Image.Resampling.BOX).save(file, "PNG")
    return file.getvalue()
