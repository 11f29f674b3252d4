"""From 8-bit pictures to what the visual tokenizer reads (reference section 2, last paragraph of the numbered list).

The whole picture is resized, not cropped, by Pillow's bicubic filter, and normalised with CLIP's mean and deviation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float32, UInt8
from PIL import Image
from torch import Tensor

from videolavit.errors import ShapeError
from videolavit.rgb import rgb_pixels

__all__ = ["CLIP_MEAN", "CLIP_STD", "Pictures", "preprocess_pictures"]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

Pictures: TypeAlias = Image.Image | np.ndarray | Sequence[Image.Image | np.ndarray]
"""One picture or several, of any sizes: Pillow's, or RGB uint8 arrays ([batch,] height, width, 3)."""


def preprocess_pictures(pictures: Pictures, image_size: int) -> Float32[Tensor, "batch 3 size size"]:
    """Resize to `image_size` squared and normalise; one picture makes a batch of one.

    Pillow pictures of any mode become upright sRGB, transparency over white (`videolavit.rgb`).

    Raises:
        ShapeError: no picture, or an array that is not RGB uint8.
    """
    resized = [_resize(picture, image_size) for picture in _one_by_one(pictures)]
    if not resized:
        raise ShapeError("got no picture, expected at least one")
    values = torch.from_numpy(np.stack(resized)).float() / 255
    values = (values - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)
    return rearrange(values, "b h w rgb -> b rgb h w").contiguous()


def _one_by_one(pictures: Pictures) -> Iterable[Image.Image | np.ndarray]:
    if isinstance(pictures, Image.Image):
        return [pictures]
    if isinstance(pictures, np.ndarray) and pictures.ndim != 4:
        return [pictures]
    return pictures


def _resize(picture: Image.Image | np.ndarray, size: int) -> UInt8[np.ndarray, "size size 3"]:
    image = _as_image(picture)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return np.array(image)


def _as_image(picture: Image.Image | np.ndarray) -> Image.Image:
    if isinstance(picture, Image.Image):
        return Image.fromarray(rgb_pixels(picture))
    if not isinstance(picture, np.ndarray):
        raise ShapeError(f"got a picture of type {type(picture).__name__}, expected a Pillow image or a NumPy array")
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3 or 0 in picture.shape:
        raise ShapeError(
            f"got a picture of shape {picture.shape} and type {picture.dtype}, expected (height, width, 3) and uint8; "
            "a video is taken apart by videolavit.video.decompose, whose clips hold keyframes"
        )
    return Image.fromarray(np.ascontiguousarray(picture))
