"""Animated WebP, which libav does not decode, as a lossless video in memory that it does."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
from PIL import Image

from videolavit.errors import MediaError
from videolavit.rgb import rgb_pixels
from videolavit.video.io.limits import Limits

__all__ = ["as_matroska", "is_animated_webp"]

_MILLISECOND = Fraction(1, 1000)
_ANIMATION = 0x02
_SHORTEST = 10
"""Milliseconds, as browsers show frames that are said to last for less."""


def is_animated_webp(head: bytes) -> bool:
    """True if a file that begins with these 21 bytes or more is a WebP with several frames."""
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20:21] and head[20] & _ANIMATION)


def as_matroska(file: Any, name: str, limits: Limits) -> bytes:
    """All frames and their times, transparency over white, coded with FFV1.

    Args:
        file: a binary file object that can seek.
        name: for messages.
        limits: for the size of a frame and the length of all.

    Raises:
        MediaError: the file is damaged.
        LimitError: it is larger or longer than `limits` allow.
    """
    file.seek(0)
    target = io.BytesIO()
    try:
        with Image.open(file, formats=["WEBP"]) as image, av.open(target, "w", format="matroska") as output:
            limits.check_size(image.width, image.height, name)
            stream = output.add_stream("ffv1", rate=Fraction(1000))
            stream.width, stream.height, stream.pix_fmt = image.width, image.height, "bgr0"
            stream.time_base = stream.codec_context.time_base = _MILLISECOND
            time = 0
            for index in range(getattr(image, "n_frames", 1)):
                image.seek(index)
                pixels = rgb_pixels(image)
                duration = max(_SHORTEST, round(image.info.get("duration", 0)))
                for packet in stream.encode(_frame(pixels, time)):
                    packet.duration = duration
                    output.mux(packet)
                time += duration
                limits.check_duration(time / 1000, name)
            output.mux(stream.encode(None))
    except MediaError:
        raise
    except Exception as error:  # Pillow's readers raise all kinds of things on damaged files
        raise MediaError(f"{name}: cannot be read as an animated WebP: {error}") from error
    return target.getvalue()


def _frame(pixels: np.ndarray, time: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(format="bgr0", threads=1)
    frame.pts, frame.time_base = time, _MILLISECOND
    return frame
