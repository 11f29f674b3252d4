"""Pixel formats: what the encoder takes, and RGB (reference section 2.2).

swscale always runs on one thread: starting its own threads costs a hundred times more on a busy machine.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from jaxtyping import UInt8

__all__ = ["plane_samples", "resize_image", "rgb_array", "rgb_frame", "to_yuv420p"]

_ENCODED = "yuv420p"


def to_yuv420p(frame: VideoFrame, width: int, height: int) -> VideoFrame:
    """8-bit 4:2:0 in limited range at the given size; the frame itself where it already is.

    The colour matrix stays what it is; RGB becomes BT.601. What is transparent lies over white.
    """
    frame = _over_white(frame)
    full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
    if frame.format.name == _ENCODED and not full and (frame.width, frame.height) == (width, height):
        return frame
    is_rgb = frame.format.is_rgb
    converted = frame.reformat(
        width=width,
        height=height,
        format=_ENCODED,
        dst_colorspace=Colorspace.ITU601 if is_rgb else None,
        interpolation=Interpolation.BICUBIC,
        src_color_range=ColorRange.JPEG if full or is_rgb else ColorRange.MPEG,
        dst_color_range=ColorRange.MPEG,
        threads=1,
    )
    # Only the samples go on: what the source says about its colours does not hold for them any more.
    converted.pts = frame.pts
    if frame.time_base is not None:  # images in memory have none
        converted.time_base = frame.time_base
    return converted


def rgb_array(frame: VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
    """8-bit RGB by swscale's default conversion: BT.601, whatever the tags of the source say.

    Keyframes that were re-encoded carry no tags (reference section 2.2), so an image that is compared with them is
    converted in the same way, or half of the difference would be that of two matrices (docs/limits.md).
    """
    frame = _over_white(frame)
    matrix = None if frame.format.is_rgb else Colorspace.ITU601
    return frame.reformat(format="rgb24", src_colorspace=matrix, threads=1).to_ndarray()


def rgb_frame(image: UInt8[np.ndarray, "height width 3"]) -> VideoFrame:
    """A libav frame that holds an RGB image."""
    return VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")


def _over_white(frame: VideoFrame) -> VideoFrame:
    """A frame without transparency, over white as images are; the frame itself where it has none."""
    if not _has_alpha(frame.format.name):
        return frame
    matrix = None if frame.format.is_rgb else Colorspace.ITU601  # as in `rgb_array`
    samples = frame.reformat(format="rgba", src_colorspace=matrix, threads=1).to_ndarray().astype(np.uint16)
    colours, alpha = samples[..., :3], samples[..., 3:]
    shown = rgb_frame(((colours * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8))
    shown.pts = frame.pts
    if frame.time_base is not None:
        shown.time_base = frame.time_base
    return shown


@cache
def _has_alpha(name: str) -> bool:
    return any(component.is_alpha for component in VideoFormat(name).components)


def resize_image(
    image: UInt8[np.ndarray, "height width 3"], height: int, width: int
) -> UInt8[np.ndarray, "new_height new_width 3"]:
    """An RGB image at another size: averaged where it shrinks, bilinear where it grows; itself at its own."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height < image.shape[0] or width < image.shape[1]
    interpolation = Interpolation.AREA if shrinks else Interpolation.BILINEAR
    frame = rgb_frame(image).reformat(width=width, height=height, interpolation=interpolation, threads=1)
    return frame.to_ndarray()


def plane_samples(plane: VideoPlane) -> UInt8[np.ndarray, "rows cols"]:
    """The samples of a plane with 8 bits each, as a view."""
    rows = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]
