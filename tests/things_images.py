"""Stand-ins for the images of the world of things, drawn here: one shape and colour for each thing."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from videolavit.data.things.catalogue import PLACES, THINGS
from videolavit.data.things.sources import CELL, write_sources


def draw_sources(path: Path, poses: int = 3) -> Path:
    """A file as `videolavit prepare things-sources` writes it, with drawn things and places."""
    arrays = {f"place/{place.name}": _panorama(number) for number, place in enumerate(PLACES)}
    for number, thing in enumerate(THINGS):
        cells = np.stack([_cell(number, pose) for pose in range(poses)])
        arrays[f"rendered/{thing.name}"] = cells
        arrays[f"cartoon/{thing.name}"] = arrays[f"flat/{thing.name}"] = cells[:1]
    write_sources(arrays, path)
    return path


def _cell(number: int, pose: int) -> np.ndarray:
    """A body with a head on its left and an arm that moves with the pose; it stands on the cell's lower edge."""
    red, green, blue = (int(255 * part) for part in colorsys.hsv_to_rgb(number * 0.381966 % 1, 0.8, 0.9))
    image = Image.new("RGBA", (CELL, CELL))
    canvas = ImageDraw.Draw(image)
    width = 20 + number % 4 * 6
    canvas.ellipse((CELL // 2 - width, 24, CELL // 2 + width, CELL - 1), fill=(red, green, blue, 255))
    canvas.ellipse((10, 4, 42, 36), fill=(blue, red, green, 255))
    canvas.line((CELL // 2, 50, CELL - 8, 30 + 14 * pose), fill=(green, blue, red, 255), width=7)
    return np.asarray(image)


def _panorama(number: int) -> np.ndarray:
    """Sky, ground and a pattern that makes turning visible."""
    random = np.random.default_rng(number)
    coarse = random.uniform(40, 210, (7, 13, 3)).astype(np.uint8)
    image = np.asarray(Image.fromarray(coarse).resize((512, 256), Image.Resampling.BICUBIC)).copy()
    image[:128] = 255 - (255 - image[:128]) // 3
    return image
