"""The one gate for images and videos of requests: data URLs, uploaded files, and addresses where these are allowed.

Sizes are checked before anything is decoded; decoding happens in worker processes (`videolavit.server.workers`).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from videolavit.errors import LimitError, MediaError
from videolavit.server.api_error import ApiError
from videolavit.server.fetch import Fetcher
from videolavit.server.request_limits import RequestLimits
from videolavit.server.workers import MediaWorkers
from videolavit.video import Frames
from videolavit.video.processor import VideoProcessorConfig

__all__ = ["MediaGate"]

_IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp")
_VIDEO_TYPES = ("video/mp4", "video/webm", "video/quicktime", "video/x-matroska", "video/x-msvideo", "image/gif")
_DATA_URL = re.compile(r"data:([a-z]+/[a-z0-9.+-]+);base64,", re.ASCII | re.IGNORECASE)
_FETCH_SECONDS = {"image": 5.0, "video": 30.0}
_TRIED_FPS = "6"
"""At which an upload is read to see whether it can be."""


class MediaGate:
    """Reader of all media of all requests."""

    def __init__(
        self,
        limits: RequestLimits,
        workers: MediaWorkers,
        fetcher: Fetcher | None = None,
        *,
        on_read: Callable[[str, float], None] | None = None,
    ) -> None:
        """Set up; `fetcher` is None where addresses are refused, `on_read` is told kind and seconds of each reading."""
        self.limits, self._workers, self._fetcher, self._on_read = limits, workers, fetcher, on_read

    async def image(self, source: str | bytes, param: str) -> UInt8[np.ndarray, "height width 3"]:
        """RGB of a data URL, an address, or the bytes of a file; `param` names the field in errors.

        Raises:
            ApiError: it is not allowed, too large, or not a readable image.
        """
        data = await self._bytes(source, param, "image", _IMAGE_TYPES, self.limits.image_bytes)
        return await self._read({"kind": "image", "pixels": self.limits.image_pixels}, data, param)

    async def video(self, source: str | bytes, param: str, processor: VideoProcessorConfig) -> Frames:
        """Frames of a video as the model sees them; sources and errors are those of `image`."""
        data = await self._bytes(source, param, "video", _VIDEO_TYPES, self.limits.video_bytes)
        order = {
            "kind": "video",
            **self._video_limits,
            "bytes": self.limits.frames_bytes,
            "fps": str(processor.options.rate),
            "size": processor.motion_size,
        }
        return Frames(images=await self._read(order, data, param), fps=processor.fps)

    async def try_upload(self, path: Path) -> None:
        """Read all of a file, an image or a video, and keep nothing of it.

        For what is then read by this process, at its own size and with the motion between its frames: a file that takes
        too much time or memory, or ends the process that reads it, is found out here.

        Raises:
            ApiError: it is too large, too long, or cannot be read; the message names the file without its folder.
        """
        self._check_bytes(path.stat().st_size, max(self.limits.image_bytes, self.limits.video_bytes), path.name)
        order = {
            "kind": "upload",
            "image": {"pixels": self.limits.image_pixels, "bytes": self.limits.image_bytes},
            "video": {**self._video_limits, "bytes": self.limits.video_bytes, "fps": _TRIED_FPS},
        }
        await self._read(order, await asyncio.to_thread(path.read_bytes), path.name)

    async def close(self) -> None:
        """End the worker processes."""
        await self._workers.close()

    @property
    def _video_limits(self) -> dict[str, float | int]:
        own = self.limits
        return {"pixels": own.video_pixels, "duration": own.video_seconds, "frames": own.video_frames}

    async def _read(self, order: dict[str, Any], data: bytes, param: str) -> np.ndarray:
        started = time.monotonic()
        try:
            return await self._workers.read(order, data, self.limits.read_seconds)
        except LimitError as error:
            raise ApiError(f"{param}: {_plain(error)}", code="media_too_large", param=param) from None
        except MediaError as error:
            raise ApiError(f"{param}: {_plain(error)}", code="invalid_media", param=param) from None
        finally:
            if self._on_read is not None:
                self._on_read(order["kind"], time.monotonic() - started)

    async def _bytes(self, source: str | bytes, param: str, kind: str, types: tuple[str, ...], most: int) -> bytes:
        if isinstance(source, bytes):
            self._check_bytes(len(source), most, param)
            return source
        if source[:5].lower() == "data:":
            return self._of_data_url(source, param, types, most)
        if source[:7].lower() == "http://" or source[:8].lower() == "https://":
            if self._fetcher is None:
                message = f"{param}: this server fetches nothing from addresses; send a data URL"
                raise ApiError(message, code="url_not_allowed", param=param)
            return await self._fetcher.fetch(source, param=param, max_bytes=most, seconds=_FETCH_SECONDS[kind])
        message = f"{param}: expected a data URL such as data:{types[0]};base64,..."
        raise ApiError(message, code="invalid_url", param=param)

    def _of_data_url(self, source: str, param: str, types: tuple[str, ...], most: int) -> bytes:
        match = _DATA_URL.match(source)
        if match is None or match[1].lower() not in types:
            raise ApiError(
                f"{param}: got a data URL that begins with {source[:40]!r}, expected data:TYPE;base64,... with one of "
                f"the types {', '.join(types)}",
                code="invalid_url",
                param=param,
            )
        self._check_bytes((len(source) - match.end()) * 3 // 4 - 2, most, param)
        try:
            return base64.b64decode(source[match.end() :], validate=True)
        except (binascii.Error, ValueError):
            raise ApiError(f"{param}: its base64 is damaged", code="invalid_base64", param=param) from None

    def _check_bytes(self, count: int, most: int, param: str) -> None:
        if count > most:
            raise ApiError(f"{param}: has {count} bytes, more than {most}", code="media_too_large", param=param)


def _plain(error: Exception) -> str:
    """A message without what is of no use to a client: advice for the command line, and the name of bytes in memory."""
    message = re.sub(r"; raise \w+ \(in a command: --[\w-]+\).*$", "", str(error))
    return re.sub(r"^<\d+ bytes>: ", "", message)
