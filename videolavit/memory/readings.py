"""Record of the videos that were read into a memory: which one it is, and where reading it goes on.

`sources.json` beside the clips lists the readings in their order, with names of files and not of their folders.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from videolavit.config import from_dict
from videolavit.errors import ConfigError, OutputError
from videolavit.memory.token_memory import TokenMemory
from videolavit.video.io.sources import local_path

__all__ = ["Reading", "begin_reading", "noted_readings"]

_FILE = "sources.json"
_HEAD_BYTES = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One video that was read into a memory, to its end or not."""

    first_clip: int
    """Number of its first clip in the memory."""
    name: str | None = None
    """Name of its file; None for a pipe, a camera, or images."""
    num_bytes: int | None = None
    head: str | None = None
    """Digest of the file's first bytes, which stay when it grows or gets another name; None of a version that did not
    note it."""

    def is_of(self, path: Path) -> bool:
        """True if it was this file that was read, or what it has grown from."""
        if self.name is None or self.num_bytes is None:
            return True  # nobody can tell
        size = path.stat().st_size
        if size < self.num_bytes:
            return False
        if self.head is not None:
            return self.head == _head(path, self.num_bytes)
        return self.name == path.name or self.num_bytes == size


def begin_reading(memory: TokenMemory, video: Any, *, append: bool) -> int:
    """Number of the clips of a video that the memory holds already; from now on it says that this one is read.

    Args:
        memory: open for appending.
        video: the one that is read now, as `VideoLaVIT.remember` takes it.
        append: True if all of it comes behind what the memory holds.

    Raises:
        ConfigError: without `append`, where the last clips are those of another file.
        OutputError: the folder cannot be written.
    """
    now = _reading(video, len(memory))
    before = [one for one in noted_readings(memory.folder) if one.first_clip < len(memory)]
    if append or not len(memory):
        _write(memory.folder, [*before, now])
        return 0
    if not before:  # of a version that did not note it
        return len(memory)
    if now.name is not None and not before[-1].is_of(Path(local_path(video))):
        raise ConfigError(
            f"{memory.folder}: its last clips are those of {before[-1].name}, and {now.name} is another video; read it "
            "behind them with append=True (in a command: --append), or name another folder"
        )
    return len(memory) - before[-1].first_clip


def _reading(video: Any, first_clip: int) -> Reading:
    if not isinstance(video, str | os.PathLike):
        return Reading(first_clip=first_clip)
    path = Path(local_path(video))
    if not path.is_file():
        return Reading(first_clip=first_clip)
    try:
        size = path.stat().st_size
        return Reading(first_clip=first_clip, name=path.name, num_bytes=size, head=_head(path, size))
    except OSError:  # whoever reads the video says so
        return Reading(first_clip=first_clip)


def _head(path: Path, num_bytes: int) -> str:
    """Digest of the beginning of a file, of what there was of it when it had `num_bytes`."""
    with path.open("rb") as file:
        return hashlib.sha256(file.read(min(num_bytes, _HEAD_BYTES))).hexdigest()


def noted_readings(folder: Path) -> list[Reading]:
    """Readings that are noted; none where the note is damaged, which only makes the check of the video impossible."""
    try:
        stored = json.loads((folder / _FILE).read_text())
        return [from_dict(Reading, one) for one in stored] if isinstance(stored, list) else []
    except (OSError, ValueError, ConfigError):
        return []


def _write(folder: Path, readings: Sequence[Reading]) -> None:
    unfinished = folder / f".{_FILE}.{os.getpid()}"
    try:
        unfinished.write_text(json.dumps([asdict(one) for one in readings], indent=2) + "\n")
        unfinished.replace(folder / _FILE)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error}; is there space, and may it be written?") from error
