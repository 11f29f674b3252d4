"""Cache of encoded images and videos: results kept by the content of the image or video they were made from.

A second question about a video costs no decoding and no network but the language model, which reads only what is new.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from videolavit.language.prompt_cache import PromptCache
from videolavit.video import Frames

__all__ = ["EncodingCache", "fingerprint"]

T = TypeVar("T")


class EncodingCache:
    """The last few results of looking at something, and what the language model has read of the last prompt."""

    def __init__(self, size: int = 16) -> None:
        self.size = size
        self.prompt = PromptCache()
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[EncodingCache], tuple[int]]:
        return EncodingCache, (self.size,)  # a copy begins empty: locks cannot be copied

    def recall(self, source: Any, settings: Hashable, look: Callable[[], T]) -> T:
        """Result of `look` for this content and these settings, kept from before or computed now."""
        content = fingerprint(source)
        if content is None:
            return look()
        key = (content, settings)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        result = look()  # without the lock: threads look at different things at a time
        with self._lock:
            result = self._kept.setdefault(key, result)
            self._kept.move_to_end(key)
            while len(self._kept) > self.size:
                self._kept.popitem(last=False)
        return result

    def forget(self) -> None:
        """Drop everything."""
        with self._lock:
            self._kept.clear()
        self.prompt.forget()


def fingerprint(source: Any) -> Hashable | None:
    """Something equal for equal images or videos; None where that cannot be known without using them up.

    A file is known by its place, size and time of change, which is how build tools know it, and not read.
    """
    if isinstance(source, str | os.PathLike):
        return _of_file(os.fspath(source))
    if isinstance(source, bytes | bytearray | memoryview):
        return "bytes", _digest(bytes(source))
    if isinstance(source, np.ndarray):
        return "array", source.shape, str(source.dtype), _digest(np.ascontiguousarray(source))
    if isinstance(source, Image.Image):
        try:
            return "image", source.mode, source.size, _look(source), _digest(source.tobytes())
        except (OSError, ValueError):  # cut off, or closed: whoever reads it says so
            return None
    if isinstance(source, Frames):
        images = fingerprint(source.images)
        return None if images is None else ("frames", source.fps, images)
    if isinstance(source, list | tuple):
        parts = tuple(fingerprint(part) for part in source)
        return None if None in parts else ("list", parts)
    return None


def _look(image: Image.Image) -> Hashable:
    """Everything beside its pixels that decides how an image looks: turned, by which palette, colours and holes."""
    colours = image.getpalette(), image.info.get("transparency"), image.info.get("icc_profile")
    return image.getexif().get(0x0112), _digest(repr(colours).encode())


def _of_file(path: str) -> Hashable | None:
    try:
        state = os.stat(path)
    except OSError:
        return None
    return "file", state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


def _digest(data: Any) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
