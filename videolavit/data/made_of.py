"""Notes on what prepared data was made of, so that a second run keeps what still holds and does the rest again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from videolavit.errors import ConfigError, OutputError
from videolavit.jobs.partial_files import create_once, write_text

__all__ = ["SourceNote", "claim", "digest_of_shards", "state_of"]


class SourceNote:
    """Record of what one shard was made of: its source files as they were, and what went wrong with each.

    The note stands beside the shard as `NAME.made_of.json`.
    """

    def __init__(self, shard: Path) -> None:
        self._path = shard.with_suffix(".made_of.json")
        self.problems: dict[str, str] = {}
        self.killers: frozenset[str] = frozenset()
        self._states: dict[str, list[int] | None] = {}
        self._digest: str | None = None
        try:
            values = json.loads(self._path.read_text(encoding="utf-8"))
            self.problems, self._states = dict(values["problems"]), dict(values["files"])
            self.killers = frozenset(values.get("killers", ()))
            self._digest = values.get("shard")
        except (OSError, ValueError, KeyError, TypeError):
            pass  # a shard of old, or one that is not there

    def is_current(self, files: Iterable[Path], digest: str | None = None) -> bool:
        """True if all source files, and the shard by its `digest`, are as they were; so is a shard without a note."""
        if self._digest is not None and digest is not None and self._digest != digest:
            return False
        return not self._states or all(self._is_same(path) for path in files)

    def known_killers(self, files: Iterable[Path]) -> dict[str, str]:
        """Files that killed the process that read them, unless they have changed, with what is said of them."""
        return {
            str(path): self.problems[str(path)] for path in files if str(path) in self.killers and self._is_same(path)
        }

    def write(
        self,
        files: Mapping[str, list[int] | None],
        problems: Mapping[str, str],
        *,
        killers: Iterable[str] = (),
        digest: str | None = None,
    ) -> None:
        """Note the states of files, as `state_of` found them before they were read, and their problems.

        Raises:
            OutputError: the folder cannot be written.
        """
        values = {"files": dict(files), "problems": dict(problems), "killers": sorted(killers), "shard": digest}
        write_text(self._path, json.dumps(values, indent=1) + "\n")

    def forget_problems(self) -> None:
        """Let files with problems count as changed, so that they are tried again."""
        if self.problems:
            states: dict[str, list[int] | None] = dict(self._states)
            self.write(states | {path: [] for path in self.problems}, self.problems, digest=self._digest)

    def _is_same(self, path: Path) -> bool:
        return state_of(path) == self._states.get(str(path))


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
        kept = create_once(note, digest + "\n").strip()
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
