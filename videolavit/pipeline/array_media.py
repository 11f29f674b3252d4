"""Arrays and tensors as images and videos: whatever order of axes and type of numbers a library hands over.

diffusers and torchvision give (channels, height, width) from 0 to 1, NumPy and Pillow (height, width, channels) of
uint8; a batch of one image has one axis more, and a video has its frames there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import UInt8

from videolavit.errors import PromptError

__all__ = ["image_array", "is_array", "video_array"]

_SLACK = 1e-3
"""Floating-point numbers may pass 0 and 1 by so much, as those that were resized do."""


def is_array(source: Any) -> bool:
    """True for NumPy arrays and torch tensors, without importing torch."""
    return isinstance(source, np.ndarray) or _is_tensor(source)


def image_array(source: Any) -> UInt8[np.ndarray, "height width 3"]:
    """An image of (height, width, 3) or (3, height, width), grey with 1 channel or none; a batch of one will do.

    Args:
        source: array or tensor of uint8, or of floating-point numbers from 0 to 1.

    Raises:
        PromptError: another shape or type, or numbers outside of that range.
    """
    values = _values(source)
    if values.ndim == 4 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3:
        raise PromptError(_expected(source, "the image", "(height, width, 3) or (3, height, width)"))
    return _pixels(_channels_last(values[None], source, "the image"), source)[0]


def video_array(source: Any) -> UInt8[np.ndarray, "frames height width 3"]:
    """Frames of (frames, height, width, 3) or (frames, 3, height, width); a batch of one video will do.

    Args:
        source: as in `image_array`.

    Raises:
        PromptError: another shape or type, or numbers outside of that range.
    """
    values = _values(source)
    if values.ndim == 5 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 4:
        raise PromptError(_expected(source, "the video", "(frames, height, width, 3) or (frames, 3, height, width)"))
    return _pixels(_channels_last(values, source, "the video"), source)


def _is_tensor(source: Any) -> bool:
    return type(source).__module__.partition(".")[0] == "torch" and hasattr(source, "detach")


def _values(source: Any) -> np.ndarray:
    if not _is_tensor(source):
        return np.asarray(source)
    tensor = source.detach()
    if tensor.is_meta:
        raise PromptError(f"got a tensor of shape {tuple(tensor.shape)} on the device meta, which holds no pixels")
    if str(tensor.layout) != "torch.strided":  # sparse
        tensor = tensor.to_dense()
    tensor = tensor.cpu().resolve_conj().resolve_neg()
    return tensor.numpy() if not tensor.is_floating_point() else tensor.float().numpy()


def _channels_last(values: np.ndarray, source: Any, what: str) -> np.ndarray:
    if values.shape[-1] not in (1, 3) and values.shape[1] in (1, 3):
        values = values.transpose(0, 2, 3, 1)
    if values.shape[-1] == 1:
        values = values.repeat(3, -1)
    if values.shape[-1] != 3 or 0 in values.shape:
        raise PromptError(_expected(source, what, "3 channels, first or last"))
    return values


def _pixels(values: np.ndarray, source: Any) -> np.ndarray:
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if not np.issubdtype(values.dtype, np.floating):
        raise PromptError(_expected(source, "the image or video", "uint8, or floating-point numbers from 0 to 1"))
    low, high = float(values.min()), float(values.max())
    if not (low >= -_SLACK and high <= 1 + _SLACK):
        raise PromptError(
            f"got floating-point numbers from {low:.3g} to {high:.3g} as pixels, expected 0 to 1; "
            "divide by 255, or add 1 and halve what goes from -1 to 1"
        )
    return np.round(values.clip(0, 1) * 255).astype(np.uint8)


def _expected(source: Any, what: str, shape: str) -> str:
    return f"got {source.dtype} of shape {tuple(source.shape)} as {what}, expected {shape}"
