"""Clip: a keyframe and the motion that follows it, the value that passes between the layers (paper, section 3.1).

Nothing here reads files or runs networks. Arrays are NumPy's, so that taking a video apart does not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, UInt8

from videolavit.errors import ShapeError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MOTION_STD", "TOKENIZER_GAIN", "Clip", "MotionField", "resize_motion"]

MOTION_STD = (0.0993703, 0.1130276)
"""Standard deviation of x and y motion over the training set of the release, as a share of image width and height."""

TOKENIZER_GAIN = 10.0
"""The motion tokenizer works on ten times the normalised motion; the video detokenizer on the normalised motion."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MotionField:
    """Motion field of a clip, in pixels per frame of an image of `height` x `width`.

    A value says how far the content of a cell has moved since the frame before: positive x to the right, positive y
    down. Frame 0, the keyframe, has not moved.
    """

    values: Float32[np.ndarray, "2 frames rows cols"]
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.values.ndim != 4 or self.values.shape[0] != 2:
            raise ShapeError(f"got motion of shape {self.values.shape}, expected (2, frames, rows, cols)")
        if not np.isfinite(self.values).all():
            raise ShapeError("got motion that is not finite somewhere; expected pixels per frame")
        if self.height < 1 or self.width < 1:
            raise ShapeError(f"got an image of {self.height} x {self.width}, expected at least 1 x 1")

    def __repr__(self) -> str:
        return f"MotionField(shape={self.values.shape}, image={self.height}x{self.width})"

    @property
    def num_frames(self) -> int:
        return self.values.shape[1]

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.values.shape[2:]

    def in_tokenizer_units(self) -> Float32[np.ndarray, "2 frames rows cols"]:
        """Share of the image size, over `MOTION_STD`, times `TOKENIZER_GAIN`, on the grid as it is."""
        return (self.values / self._unit()).astype(np.float32)

    def for_tokenizer(self, rows: int = 20, cols: int = 36) -> Float32[np.ndarray, "2 frames rows cols"]:
        """Input of the motion tokenizer: tokenizer units, resized to its grid."""
        return resize_motion(self.in_tokenizer_units(), rows, cols)

    def for_detokenizer(self, rows: int, cols: int) -> Float32[np.ndarray, "2 frames rows cols"]:
        """Input of the video detokenizer when motion is not tokenized: normalised units at latent size."""
        return resize_motion(self.in_tokenizer_units(), rows, cols) / np.float32(TOKENIZER_GAIN)

    @classmethod
    def from_tokenizer_units(
        cls, values: Float32[np.ndarray, "2 frames rows cols"], *, height: int, width: int
    ) -> MotionField:
        """Pixels of a `height` x `width` image from what the motion tokenizer decodes."""
        field = cls(values=values, height=height, width=width)
        return cls(values=(values * field._unit()).astype(np.float32), height=height, width=width)

    def _unit(self) -> np.ndarray:
        """Pixels that one tokenizer unit stands for, in float64, to be broadcast over `values`."""
        size = np.array([self.width, self.height], dtype=np.float64)
        return (size * np.array(MOTION_STD) / TOKENIZER_GAIN).reshape(2, 1, 1, 1)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Clip:
    """A keyframe, the motion of the frames that follow it, and where both came from."""

    keyframe: UInt8[np.ndarray, "height width 3"]
    """RGB."""
    motion: MotionField
    start: int
    """Tick of the keyframe; ticks are 1 / `fps` seconds apart and count from the start of the video."""
    fps: Fraction
    num_real_frames: int
    """Frames that the video really has; motion is zero from there on."""
    source: str = ""
    """Path of the video, or a description of what it was read from."""
    has_keyframe: bool = True
    """False where motion explains the keyframe from the clip before: then the clip goes on with motion alone."""

    def __repr__(self) -> str:
        height, width = self.size
        return (
            f"Clip(keyframe={height}x{width}, motion={self.motion.values.shape}, "
            f"seconds={self.start_seconds:.2f}..{self.end_seconds:.2f}, source={self.source!r})"
        )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the keyframe."""
        return self.keyframe.shape[:2]

    @property
    def start_seconds(self) -> float:
        return float(self.start / self.fps)

    @property
    def end_seconds(self) -> float:
        return float((self.start + self.num_real_frames) / self.fps)


def resize_motion(
    values: Float32[np.ndarray, "2 frames rows cols"], rows: int, cols: int
) -> Float32[np.ndarray, "2 frames new_rows new_cols"]:
    """Resize every frame bicubically: a = -0.75, no aligned corners, no antialiasing (reference section 2.6)."""
    return resize_motion_tensor(_as_tensor(values)[None], rows, cols)[0].numpy()


def resize_motion_tensor(motion: Tensor, rows: int, cols: int) -> Tensor:
    """`resize_motion` for a batch, (batch, 2, frames, rows, cols), on its own device."""
    import torch.nn.functional as F  # here, so that reading clips does not import torch

    batch, channels, frames, *grid = motion.shape
    if tuple(grid) == (rows, cols):
        return motion
    frames_as_batch = motion.movedim(2, 1).reshape(batch * frames, channels, *grid)
    resized = F.interpolate(frames_as_batch, (rows, cols), mode="bicubic", align_corners=False, antialias=False)
    return resized.reshape(batch, frames, channels, rows, cols).movedim(1, 2)


def _as_tensor(values: np.ndarray) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
