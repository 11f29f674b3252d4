"""Photographic grounds of the extended shapes world.

The package ships no photographs: they are the example images inside the wheel of gradio (the `demo` extra), cropped
at random and nearly without colour, so that objects stay the most saturated things in an image.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from PIL import Image

from videolavit.errors import ConfigError

__all__ = ["photograph", "photographs"]

_NAMES = ("cheetah.jpg", "cheetah1.jpg", "lion.jpg", "tower.jpg")
_COLOUR_KEPT = 0.15


def photograph(seed: int, height: int, width: int) -> Float32[np.ndarray, "height width 3"]:
    """A random, nearly grey crop, 0 to 1; equal seeds give equal crops.

    Raises:
        ConfigError: gradio, whose example images these are, is not installed.
    """
    random = np.random.default_rng(seed)
    image = photographs()[int(random.integers(len(_NAMES)))]
    scale = random.uniform(0.5, 1.0) * min(image.height / height, image.width / width)
    crop_width, crop_height = int(width * scale), int(height * scale)
    left = int(random.integers(image.width - crop_width + 1))
    top = int(random.integers(image.height - crop_height + 1))
    crop = image.resize((width, height), Image.Resampling.BICUBIC, (left, top, left + crop_width, top + crop_height))
    values = np.asarray(crop, dtype=np.float32) / 255
    grey = values.mean(axis=2, keepdims=True)
    # Less contrast than the original, so that neither black nor white swallows an object's edge.
    return (0.5 + 0.6 * (grey + _COLOUR_KEPT * (values - grey) - 0.5)).astype(np.float32)


@cache
def photographs() -> tuple[Image.Image, ...]:
    """The photographs themselves, in colour.

    Raises:
        ConfigError: gradio, whose example images these are, is not installed.
    """
    spec = importlib.util.find_spec("gradio")  # finds the files without importing gradio, which takes seconds
    if spec is None or spec.origin is None:
        raise ConfigError(
            "photographs are gradio's example images, and gradio is not installed; try `pip install videolavit[demo]`, "
            "or go without: no --extended of prepare, a share of 0 for photographs in --shares of train"
        )
    folder = Path(spec.origin).parent / "media_assets" / "images"
    return tuple(Image.open(folder / name).convert("RGB") for name in _NAMES)
