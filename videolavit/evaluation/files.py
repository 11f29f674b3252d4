"""Official files of benchmarks: found in a folder as they are unpacked, checked, hashed, read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from videolavit.errors import ConfigError, OutputError

__all__ = ["DataFile", "cut_off", "field_of", "file_sha256", "found_file", "half_line", "of_official_form", "read_json"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFile:
    """A file or folder that a benchmark reads."""

    name: str
    """Relative to the data folder, with `/`; also found deeper, or without its own folders."""
    holds: str
    """Content of the file, with its amount."""
    source: str
    """Place where its authors offer it."""
    optional: bool = False


@contextmanager
def of_official_form(data: Path, benchmark: str) -> Iterator[None]:
    """Turn errors of reading the files of a data folder into one that says what may be wrong with them.

    Raises:
        ConfigError: what is done within met a file that is not of the official form.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{benchmark}: a file in {data} is not of the official form ({type(error).__name__}: {error}); "
            "unpack or download it again"
        ) from error


def found_file(data: Path, file: DataFile, benchmark: str) -> Path | None:
    """Place of a file below a data folder; None for an optional one that is not there.

    Raises:
        ConfigError: it is not there.
    """
    for place in (data / file.name, data / Path(file.name).name):
        if place.exists():
            return place
    deeper = sorted(data.glob(f"*/{file.name}")) + sorted(data.glob(f"*/*/{file.name}"))
    if deeper:
        return deeper[0]
    if file.optional:
        return None
    raise ConfigError(f"{benchmark}: {data} holds no {file.name} ({file.holds}); its authors offer it at {file.source}")


def read_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises:
        ConfigError: it cannot be read, or ends too early.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: is no complete JSON file ({error}); unpack or download it again") from error


def field_of(entry: Any, name: str, path: Path, place: object) -> Any:
    """A field of one entry of a file.

    Raises:
        ConfigError: it is not there: another file, or one of another version.
    """
    try:
        return entry[name]
    except (KeyError, TypeError, IndexError) as error:
        raise ConfigError(f"{path}: entry {place} has no {name!r}; this is not the official file") from error


def half_line(text: str, beginning: str) -> str:
    """Last line of a file, if a process was killed while it wrote it; empty if not, or if it is another's text.

    Args:
        text: of the file, to which whole lines are added.
        beginning: of every line.
    """
    last = text[text.rfind("\n") + 1 :]
    return last if last.startswith(beginning) or beginning.startswith(last) else ""


def cut_off(path: Path, end: str) -> None:
    """Take a text off the end of a UTF-8 file; what is before it is not written again.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - len(end.encode()))
    except OSError as error:
        raise OutputError(f"{path}: its last line, which is cut off, cannot be taken away: {error}") from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    state = path.stat()
    return _file_sha256(str(path), state.st_size, state.st_mtime_ns)


@cache
def _file_sha256(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
