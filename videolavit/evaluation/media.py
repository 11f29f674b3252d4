"""Images and frames of videos as benchmarks hand them to a model or to a feature network."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from videolavit.errors import MediaError
from videolavit.video.io.images import read_image

__all__ = ["as_image", "frames_at", "middle_frame"]

_READ_FPS = Fraction(6)


def as_image(source: Any) -> Any:
    """Pixels of the bytes of an image file, as every other image is read; everything else as it is.

    Raises:
        MediaError: the bytes are no image.
    """
    if not isinstance(source, bytes):
        return source
    try:
        return read_image(source)
    except MediaError as error:
        raise MediaError(f"an image inside a data file: {error}") from error


def middle_frame(video: Path, segment: Sequence[float] | None = None) -> UInt8[np.ndarray, "height width 3"]:
    """Frame in the middle of a video, or of a segment of it, however long that is: one frame is kept at a time.

    Args:
        video: a file.
        segment: start and end in seconds.

    Raises:
        MediaError: the file cannot be read, or holds no frame.
    """
    if segment is None:
        middle = sum(1 for _ in _frames(video, _READ_FPS)) // 2
    else:
        middle = int((segment[0] + segment[1]) / 2 * _READ_FPS)
    [frame] = deque(itertools.islice(_frames(video, _READ_FPS), middle + 1), maxlen=1) or [None]
    if frame is None:
        raise MediaError(f"{video}: holds no frame")
    return frame


def frames_at(video: Path, fps: float | None, *, most: int | None = None) -> UInt8[np.ndarray, "frames height width 3"]:
    """Frames of a video at a rate of its own, upright RGB.

    Args:
        video: a file.
        fps: frames per second; None for those of the file.
        most: only so many, from the start.

    Raises:
        MediaError: the file cannot be read, or holds no frame.
    """
    from videolavit.video.io.probe import probe

    _check_file(video)
    rate = Fraction(fps).limit_denominator(1001) if fps is not None else Fraction(probe(video).frame_rate or _READ_FPS)
    frames = list(itertools.islice(_frames(video, rate), most))
    if not frames:
        raise MediaError(f"{video}: holds no frame")
    return np.stack(frames)


def _frames(video: Path, rate: Fraction) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Frames of a file at a rate, as they are read."""
    from videolavit.video.clips.timeline import images_on_ticks

    _check_file(video)
    return images_on_ticks(video, fps=rate)


def _check_file(video: Path) -> None:
    if not video.is_file():
        raise MediaError(f"{video}: no such file")
