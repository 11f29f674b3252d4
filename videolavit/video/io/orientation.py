"""Rotation and mirroring of a stored image for display (reference section 2: the display matrix is applied)."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np
from av.video.frame import VideoFrame

from videolavit.video.io.pixels import plane_samples

__all__ = ["Orientation"]

logger = logging.getLogger(__name__)

_PNG_FORMATS = (
    *("rgb24", "rgba", "rgb48be", "rgba64be", "pal8", "monob"),
    *("gray", "gray16be", "ya8", "ya16be"),
)
"""Those of libav's PNG decoder, whose side data must not be listed: where a colour profile is among it, PyAV frees that
one's name a second time and the process crashes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Orientation:
    """One of the eight ways to lay a rectangle on a rectangle: swap the axes, then mirror each of them or not."""

    swap_axes: bool = False
    flip_x: bool = False
    flip_y: bool = False
    """Mirror the displayed image left to right, top to bottom."""

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """The display matrix of a decoded frame. Angles that are no quarter turn are ignored, with a warning."""
        a, b, c, d = _display_matrix(frame)
        larger = max(abs(a), abs(b), abs(c), abs(d))
        if min(max(abs(a), abs(d)), max(abs(b), abs(c))) > larger * math.sin(math.radians(1)):
            logger.warning("a display matrix that is not a quarter turn is ignored: %s", [a, b, c, d])
            return cls()
        if abs(b) > abs(a):
            return cls(swap_axes=True, flip_x=c < 0, flip_y=b < 0)
        return cls(flip_x=a < 0, flip_y=d < 0)

    @property
    def is_identity(self) -> bool:
        return not (self.swap_axes or self.flip_x or self.flip_y)

    @property
    def clockwise_degrees(self) -> int:
        """0, 90, 180 or 270; an image that is also mirrored is turned first and mirrored top to bottom after."""
        if self.swap_axes:
            return 270 if self.flip_y else 90
        return 180 if self.flip_x else 0

    def displayed_size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) on the screen of a stored image."""
        return (height, width) if self.swap_axes else (width, height)

    def apply(self, frame: VideoFrame) -> VideoFrame:
        """A planar frame of 8 bits a sample as displayed; without its time, unless nothing changes."""
        if self.is_identity:
            return frame
        turned = VideoFrame(*self.displayed_size(frame.width, frame.height), frame.format.name)
        for source, target in zip(frame.planes, turned.planes, strict=True):
            plane_samples(target)[:] = self._turn(plane_samples(source))
        return turned

    def _turn(self, samples: np.ndarray) -> np.ndarray:
        samples = samples.T if self.swap_axes else samples
        return samples[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]


def _rotation(frame: VideoFrame) -> tuple[float, float, float, float]:
    """The matrix as far as its angle goes: an image mirrored top to bottom stays so."""
    angle = -math.radians(frame.rotation)
    return math.cos(angle), math.sin(angle), -math.sin(angle), math.cos(angle)


def _display_matrix(frame: VideoFrame) -> tuple[float, float, float, float]:
    """(a, b, c, d): a point (x, y) of the image is displayed at (a x + c y, b x + d y), in any unit."""
    if frame.format.name in _PNG_FORMATS:
        return _rotation(frame)
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV lists all side data or none, and fails on kinds that it has no name for, such as EXIF.
        return _rotation(frame)
    if data is None:
        return 1.0, 0.0, 0.0, 1.0
    a, b, _, c, d = np.frombuffer(bytes(data), dtype=np.int32)[:5].astype(float).tolist()
    return a, b, c, d
