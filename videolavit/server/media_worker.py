"""Reader of images and videos in a process of its own, with limits set by the operating system.

    python -m videolavit.server.media_worker MEMORY_BYTES

It takes orders on its standard input and answers on its standard output, both as messages: lengths of a JSON header and
of the bytes behind it, then these. An order is an image, a video as frames on the model's time grid and at the model's
size, or an upload of either kind that is only tried. Answers are raw pixels, never a pickle: whoever takes over this
process can send wrong pixels at most.
"""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np
from PIL import Image

from videolavit.errors import LimitError, MediaError, VideoLaVITError
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.io.images import image_kind, read_image
from videolavit.video.io.limits import Limits
from videolavit.video.io.open import open_video
from videolavit.video.io.pixels import resize_image

__all__ = ["HEADER", "main", "pack"]

HEADER = struct.Struct("<II")
"""Bytes of the JSON and of what follows it."""

_IMAGES = ("PNG", "JPEG", "MPO", "WEBP")
_VIDEOS = ("mov", "mp4", "matroska", "webm", "avi", "gif")


def main() -> None:
    """Serve until standard input ends."""
    orders, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not stand among the answers
    _limit(int(sys.argv[1]))
    answers.write(pack({"ready": True}))
    answers.flush()
    while (order := _read(orders)) is not None:
        header, data = order
        answers.write(_answer(header, data))
        answers.flush()


def pack(header: dict[str, Any], data: bytes | memoryview = b"") -> bytes:
    """A message."""
    text = json.dumps(header).encode()
    return b"".join([HEADER.pack(len(text), len(data)), text, data])


def _read(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    lengths = stream.read(HEADER.size)
    if len(lengths) < HEADER.size:
        return None
    text, data = HEADER.unpack(lengths)
    return json.loads(stream.read(text)), stream.read(data)


def _answer(order: dict[str, Any], data: bytes) -> bytes:
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = used.ru_utime + used.ru_stime + order["seconds"] + 1
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, hard))  # beyond it the system ends this process
    try:
        pixels = {"image": _image, "video": _video, "upload": _upload}[order["kind"]](data, order)
        return pack({"shape": pixels.shape}, np.ascontiguousarray(pixels).data.cast("B"))
    except MemoryError:
        return pack({"error": "needs more memory to be read than is allowed", "kind": "limit"})
    except LimitError as error:
        return pack({"error": str(error), "kind": "limit"})
    except (VideoLaVITError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error.__cause__, MemoryError):
            return pack({"error": "needs more memory to be read than is allowed", "kind": "limit"})
        return pack({"error": str(error), "kind": "media"})


def _image(data: bytes, order: dict[str, Any]) -> np.ndarray:
    """RGB as every command reads it; the size is known, and checked, before a pixel is read."""
    try:
        with Image.open(io.BytesIO(data), formats=_IMAGES) as image:
            _check_pixels(image.width * image.height, order)
            if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
                raise MediaError("is an animation; send it as a video")
    except Image.UnidentifiedImageError as error:
        raise MediaError(f"is not an image in one of {', '.join(_IMAGES)}") from error
    return read_image(data)


def _video(data: bytes, order: dict[str, Any]) -> np.ndarray:
    """Frames on the ticks of the model, (frames, height, width, 3)."""
    size, frames, room = order["size"], [], order["bytes"]
    for image in _ticks(data, order):
        image = image if size is None else resize_image(image, *size)
        room -= image.nbytes
        if room < 0:
            raise LimitError(f"is too large: its frames take more than {order['bytes']} bytes; send a shorter one")
        frames.append(image)
    return np.stack(frames)


def _upload(data: bytes, order: dict[str, Any]) -> np.ndarray:
    """All of an image or a video is read, by the limits of its kind; the answer is one black pixel."""
    kind = "image" if image_kind(data) == "image" else "video"
    if len(data) > order[kind]["bytes"]:
        raise LimitError(f"has {len(data)} bytes, more than {order[kind]['bytes']}")
    if kind == "image":
        _image(data, order["image"])
    else:
        deque(_ticks(data, order["video"]), maxlen=0)  # each image is gone before the next one
    return np.zeros((1, 1, 3), np.uint8)


def _ticks(data: bytes, order: dict[str, Any]) -> Iterator[np.ndarray]:
    """Images of a video on the ticks of a time grid, one after another, at its own size."""
    limits = Limits(
        max_bytes=len(data),
        max_pixels=order["pixels"],
        max_duration_seconds=order["duration"],
        max_index_entries=10 * order["frames"] + 100_000,
    )
    with open_video(data, limits=limits) as video:
        _check_container(video)
        declared, rate = video.stream.frames, video.frame_rate
        if declared > order["frames"] or (rate is not None and rate > 1000):
            raise LimitError(f"has {declared} frames at {rate} per second, more than the {order['frames']} allowed")
    with closing(images_on_ticks(data, fps=Fraction(order["fps"]), limits=limits)) as images:
        yield from images


def _check_container(video: Any) -> None:
    names = set(video.container.format.name.split(","))
    if not names & set(_VIDEOS):
        raise MediaError(f"is a file of the kind {video.container.format.name}, expected one of {', '.join(_VIDEOS)}")


def _check_pixels(pixels: int, order: dict[str, Any]) -> None:
    if pixels > order["pixels"]:
        raise LimitError(f"has {pixels} pixels, more than the {order['pixels']} allowed; send a smaller one")


def _limit(memory_bytes: int) -> None:
    """Memory beyond what is in use now, no files written, few opened, no core dumps."""
    av.logging.set_level(av.logging.PANIC)
    with open("/proc/self/statm") as file:
        present = int(file.read().split()[0]) * resource.getpagesize()
    for kind, most in (
        (resource.RLIMIT_AS, present + memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 32),
    ):
        resource.setrlimit(kind, (most, most))


if __name__ == "__main__":
    main()
