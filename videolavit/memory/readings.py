"""Record of the videos that were read into a memory: which one it is, and where reading it goes on.

`sources.json` beside the clips lists the readings in their order, with names of files and not of their folders.
"""

from __future__ import annotations

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One video that was read into a memory, to its end or not."""

    first_clip: int
    """Number of its first clip in the memory."""
    name: str | None = None
    """Name of its file; None for a pipe, a camera, or images."""
    num_bytes: int | None = None

    def is_another_file(self, other: Reading) -> bool:
        """True if two files differ in name and size: a file may grow or get another name, and is still the same."""
        named = self.name is not None and other.name is not None
        return named and self.name != other.name and self.num_bytes != other.num_bytes


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
    if before[-1].is_another_file(now):
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
    return Reading(first_clip=first_clip, name=path.name, num_bytes=path.stat().st_size)


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
