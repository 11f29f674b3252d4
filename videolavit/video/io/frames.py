"""Images in memory as a video: rendered worlds, model output, or what another library decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from videolavit.config import plain_number
from videolavit.errors import ConfigError, MediaError
from videolavit.video.io.images import read_image
from videolavit.video.io.limits import Limits
from videolavit.video.io.pixels import rgb_frame

__all__ = ["Frames", "as_rate", "libav_frames"]

_LARGEST_DENOMINATOR = 1001
"""Enough for every rate in use, 30000 / 1001 and its kin included."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Frames:
    """Images and how many of them there are in a second."""

    images: Iterable[np.ndarray]
    """RGB, uint8 of (height, width, 3), all of one size: a list, one array of all, or a generator. Pillow's images may
    be of any mode."""
    fps: float | int
    is_live: bool = False
    """True if the images come no sooner than what they show happens, as those of a camera."""

    def __post_init__(self) -> None:
        as_rate(self.fps, "fps of the frames")

    @property
    def rate(self) -> Fraction:
        """`fps` as a fraction."""
        return as_rate(self.fps, "fps of the frames")

    @property
    def can_repeat(self) -> bool:
        """True if the images can be gone through twice."""
        return iter(self.images) is not self.images

    @property
    def name(self) -> str:
        """Name in place of a path."""
        return f"<frames at {self.fps:g} fps>"


def as_rate(fps: float | int, name: str) -> Fraction:
    """A frame rate as the fraction that was meant.

    Raises:
        ConfigError: it is not between 1/1000 and 1000.
    """
    value = plain_number(fps)
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction) or not 1e-3 <= value <= 1e3:
        raise ConfigError(f"got {name}={fps!r}, expected 0.001 to 1000 frames per second")
    return Fraction(value).limit_denominator(_LARGEST_DENOMINATOR)


def libav_frames(frames: Frames, limits: Limits, name: str) -> Iterator[VideoFrame]:
    """The images as libav's frames, checked one by one.

    Raises:
        MediaError: there is none, or one is not an RGB image of the first one's size.
        LimitError: they are larger than `limits` allow.
    """
    shape: tuple[int, ...] | None = None
    for index, image in enumerate(frames.images):
        array = read_image(image) if isinstance(image, Image.Image) else np.asarray(image)
        if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or 0 in array.shape:
            raise MediaError(
                f"{name}: frame {index} is {array.dtype} of shape {array.shape}, expected uint8 of (height, width, 3); "
                "scale to 0 to 255 and convert"
            )
        if shape is None:
            shape = array.shape
            limits.check_size(shape[1], shape[0], name)
        if array.shape != shape:
            raise MediaError(
                f"{name}: frame {index} has shape {array.shape}, those before {shape}; resize them to one size"
            )
        yield rgb_frame(array)
    if shape is None:
        raise MediaError(f"{name}: there is no frame in it; expected at least one image")
