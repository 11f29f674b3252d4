"""From 8-bit images to what the visual tokenizer reads (reference section 2, last paragraph of the numbered list).

The whole image is resized, not cropped, by Pillow's bicubic filter, and normalised with CLIP's mean and deviation.
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

__all__ = ["CLIP_MEAN", "CLIP_STD", "Images", "preprocess_images"]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

Images: TypeAlias = Image.Image | np.ndarray | Sequence[Image.Image | np.ndarray]
"""One image or several, of any sizes: Pillow's, or RGB uint8 arrays ([batch,] height, width, 3)."""


def preprocess_images(images: Images, image_size: int) -> Float32[Tensor, "batch 3 size size"]:
    """Resize to `image_size` squared and normalise; one image makes a batch of one.

    Pillow images of any mode become upright sRGB, transparency over white (`videolavit.rgb`).

    Raises:
        ShapeError: no image, or an array that is not RGB uint8.
    """
    resized = [_resize(image, image_size) for image in _one_by_one(images)]
    if not resized:
        raise ShapeError("got no image, expected at least one")
    values = torch.from_numpy(np.stack(resized)).float() / 255
    values = (values - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)
    return rearrange(values, "b h w rgb -> b rgb h w").contiguous()


def _one_by_one(images: Images) -> Iterable[Image.Image | np.ndarray]:
    if isinstance(images, Image.Image):
        return [images]
    if isinstance(images, np.ndarray) and images.ndim != 4:
        return [images]
    return images


def _resize(image: Image.Image | np.ndarray, size: int) -> UInt8[np.ndarray, "size size 3"]:
    image = _as_image(image)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return np.array(image)


def _as_image(image: Image.Image | np.ndarray) -> Image.Image:
    if isinstance(image, Image.Image):
        return Image.fromarray(rgb_pixels(image))
    if not isinstance(image, np.ndarray):
        raise ShapeError(f"got an image of type {type(image).__name__}, expected a Pillow image or a NumPy array")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise ShapeError(
            f"got an image of shape {image.shape} and type {image.dtype}, expected (height, width, 3) and uint8; "
            "a video is taken apart by videolavit.video.clips.decompose, whose clips hold keyframes"
        )
    return Image.fromarray(np.ascontiguousarray(image))
