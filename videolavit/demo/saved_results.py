"""Files of results. Their names hold a digest of their bytes, so that no browser shows an older one in its place."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from videolavit.video import write_video

__all__ = ["SavedResults"]

_KEEP_SECONDS = 3600.0
"""Gradio copies what it serves; these are its sources."""


class SavedResults:
    """A folder of results, which is emptied of old ones as new ones come."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="videolavit-demo-")
        self.folder = Path(self._folder.name)

    def save(self, result: Any, stem: str, extension: str = ".mp4") -> Path:
        """The file that `result.save` writes."""
        unnamed = Path(tempfile.mkdtemp(dir=self.folder)) / f"result{extension}"
        result.save(unnamed)
        return self._named(unnamed, stem)

    def write(self, data: bytes, stem: str, extension: str) -> Path:
        """A file of those bytes."""
        unnamed = Path(tempfile.mkdtemp(dir=self.folder)) / f"result{extension}"
        unnamed.write_bytes(data)
        return self._named(unnamed, stem)

    def video(self, frames: Iterable[np.ndarray], stem: str, *, fps: float | int = 6) -> Path:
        """A video of frames that no result stands behind, such as a preview."""
        unnamed = Path(tempfile.mkdtemp(dir=self.folder)) / "result.mp4"
        write_video(frames, unnamed, fps=fps)
        return self._named(unnamed, stem)

    def example(self, content: bytes | Iterable[np.ndarray], name: str) -> Path:
        """A file of bytes, or of frames a video, with a plain name, which stays as long as the page."""
        path = self.folder / "examples" / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            write_video(content, path)
        return path

    def close(self) -> None:
        """Delete all."""
        self._folder.cleanup()

    def _named(self, unnamed: Path, stem: str) -> Path:
        digest = hashlib.sha256(unnamed.read_bytes()).hexdigest()[:12]
        named = self.folder / f"{stem}-{digest}{unnamed.suffix}"
        unnamed.replace(named)
        unnamed.parent.rmdir()
        self._sweep()
        return named

    def _sweep(self) -> None:
        oldest = time.time() - _KEEP_SECONDS
        for path in self.folder.glob("*.*"):
            with suppress(FileNotFoundError):  # another result has removed it meanwhile
                if path.is_file() and path.stat().st_mtime < oldest:
                    path.unlink()
