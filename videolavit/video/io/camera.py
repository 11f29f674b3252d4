"""Frames of a camera as they come, by libav's devices."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import av
from av.error import FFmpegError
from jaxtyping import UInt8
from numpy import ndarray

from videolavit.errors import MediaError
from videolavit.video.io.frames import Frames

__all__ = ["camera_frames"]

_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}


def camera_frames(
    device: str, *, fps: float | int = 6.0, device_format: str | None = None, now: Callable[[], float] = time.monotonic
) -> Frames:
    """Images of a camera, `fps` times a second, until it ends or nobody asks for more.

    Between two ticks the latest image counts; where the camera is slower, its last image is shown again. The camera is
    opened when the first image is asked for.

    Args:
        device: its name, such as `/dev/video0`.
        fps: of what is handed on.
        device_format: libav's kind of device; by default that of this system.
        now: the time in seconds, for cameras whose images carry none.

    Raises:
        MediaError: there is no such camera, when it is opened.
    """
    images = _images(device, fps, device_format or _FORMATS.get(sys.platform, "v4l2"), now)
    return Frames(images=images, fps=fps, is_live=True)


def _images(
    device: str, fps: float | int, device_format: str, now: Callable[[], float]
) -> Iterator[UInt8[ndarray, "height width 3"]]:
    try:
        with av.open(device, format=device_format) as camera:
            first, shown = None, 0
            for frame in camera.decode(video=0):
                seconds = now() if frame.time is None else frame.time
                first = seconds if first is None else first
                due = int((seconds - first) * fps) + 1 - shown
                if due > 0:
                    image = frame.to_ndarray(format="rgb24")
                    for _ in range(due):
                        yield image
                    shown += due
    except (FFmpegError, ValueError, IndexError) as error:
        raise MediaError(f"{device}: cannot be read as a camera ({device_format}): {error}") from error
