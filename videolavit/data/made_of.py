"""Notes on what prepared data was made of, so that a second run keeps what still holds and does the rest again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from videolavit.errors import ConfigError, OutputError

__all__ = ["SourceNote", "claim", "digest_of_shards", "state_of"]


class SourceNote:
    """What one shard was made of: its source files as they were, and what went wrong with each.

    The note stands beside the shard as `NAME.made_of.json`.
    """

    def __init__(self, shard: Path) -> None:
        self._path = shard.with_suffix(".made_of.json")
        self.problems: dict[str, str] = {}
        self._states: dict[str, list[int] | None] = {}
        try:
            values = json.loads(self._path.read_text(encoding="utf-8"))
            self.problems, self._states = dict(values["problems"]), dict(values["files"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # a shard of old, or one that is not there

    def is_current(self, files: Iterable[Path]) -> bool:
        """Whether all source files are as they were; so is a shard that has no note."""
        return not self._states or all(state_of(path) == self._states.get(str(path)) for path in files)

    def write(self, files: Mapping[str, list[int] | None], problems: Mapping[str, str]) -> None:
        """Note the states of files, as `state_of` found them before they were read, and their problems.

        Raises:
            OutputError: the folder cannot be written.
        """
        text = json.dumps({"files": dict(files), "problems": dict(problems)}, indent=1)
        _write(self._path, text + "\n")


def state_of(path: Path) -> list[int] | None:
    """Size and time of the last change of a file, None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return [found.st_size, found.st_mtime_ns]


def claim(folder: Path, name: str, made_of: str) -> None:
    """Make a folder if need be, and note what its data is made of under `name`.

    Raises:
        ConfigError: the folder holds data that was made of something else.
        OutputError: the folder cannot be made or written.
    """
    digest = sha256(made_of.encode()).hexdigest()
    note = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not note.exists():
            _write(note, digest + "\n")
        kept = note.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise OutputError(f"{folder}: cannot be used for prepared data: {error}") from error
    if kept != digest:
        raise ConfigError(
            f"{folder}: was made of other data or with other options ({name}); give those, or choose another folder"
        )


def digest_of_shards(shards: Iterable[Path]) -> str:
    """A name for the content of shards, by the checksums in their indices."""
    digest = sha256()
    for path in shards:
        digest.update(path.name.encode() + path.with_suffix(".index.json").read_bytes())
    return digest.hexdigest()


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error}; is there space?") from error
    finally:
        partial.unlink(missing_ok=True)
