"""SHA-256 of the files that this package writes, so that damage is found where it is and not in a result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from videolavit.errors import CheckpointError

__all__ = ["CHECKSUMS_FILE", "check_file", "check_folder", "damaged_files", "file_hashes", "write_checksums"]

CHECKSUMS_FILE = "checksums.json"
"""In a folder whose own files have no place for them: {path inside the folder: SHA-256}."""

_THREADS = 4
"""hashlib gives the interpreter free while it works."""


def file_hashes(folder: Path, *, leave_out: Iterable[str] = ()) -> dict[str, str]:
    """SHA-256 of every file in a folder and below, by its path inside the folder."""
    names = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    kept = {name: path for name, path in names.items() if name not in set(leave_out)}
    with ThreadPoolExecutor(_THREADS) as threads:
        return dict(zip(kept, threads.map(_sha256, kept.values()), strict=True))


def damaged_files(folder: Path, hashes: Mapping[str, str]) -> dict[str, str]:
    """Those of `hashes` that are missing or changed, each with what is wrong with it."""
    with ThreadPoolExecutor(_THREADS) as threads:
        found = threads.map(lambda name: _problem(folder / name, hashes[name]), hashes)
        return {name: problem for name, problem in zip(hashes, found, strict=True) if problem}


def check_file(path: Path, expected: str | None) -> None:
    """Raise `CheckpointError` if a file that is there has another SHA-256 than `expected`; None is not checked."""
    if expected is None or not path.is_file():
        return
    if _sha256_of_state(path, path.stat().st_mtime_ns, path.stat().st_size) != expected:
        raise CheckpointError(f"{path}: is damaged: its checksum is not the one it was written with; {_ADVICE}")


def write_checksums(folder: Path) -> None:
    """Write the hashes of all files of a folder into the folder."""
    hashes = file_hashes(folder, leave_out=[CHECKSUMS_FILE])
    (folder / CHECKSUMS_FILE).write_text(json.dumps(hashes, indent=2) + "\n", encoding="utf-8")


def check_folder(folder: Path) -> None:
    """Hold the files of a folder against its `checksums.json`; nothing is checked where it has none.

    Raises:
        CheckpointError: a file is missing or changed; the message names it.
    """
    listed = folder / CHECKSUMS_FILE
    if not listed.is_file():
        return
    try:
        hashes = dict(json.loads(listed.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{listed}: cannot be read: {error}; {_ADVICE}") from error
    for name, expected in hashes.items():
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder / name}: is missing; {_ADVICE}")
        check_file(folder / name, expected)


_ADVICE = "copy or export the folder again"


def _problem(path: Path, expected: str) -> str:
    if not path.is_file():
        return "is missing"
    try:
        return "" if _sha256(path) == expected else "is damaged: its checksum is not the one it was written with"
    except OSError as error:
        return f"cannot be read: {error}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=256)
def _sha256_of_state(path: Path, modified: int, size: int) -> str:
    """The hash of a file that was last changed at `modified`: a model is often opened several times in a process."""
    return _sha256(path)
