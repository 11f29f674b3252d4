"""Claims on pieces of work, so that two launches over one folder share it, and notes on attempts that ended badly.

A claim is a file that is created exclusively (O_EXCL, which holds on shared disks, NFS among them) and touched while
the work goes on. It spares work and guards nothing: two that do the same piece write the same bytes, under names of
their own, and rename them. So a claim may be taken over when its process is dead, or when it has not been touched
for `STALE_SECONDS` by the clock of who waits; clocks of machines need not agree.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from videolavit.errors import OutputError
from videolavit.jobs.partial_files import is_alive, this_process

__all__ = ["STALE_SECONDS", "Attempts", "ClaimWatch", "claimed"]

STALE_SECONDS = 120.0
_TOUCH_SECONDS = 10.0


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Hold the claim on the work that makes `path`; False where another process holds it.

    Raises:
        OutputError: the folder cannot be written.
    """
    claim = _claim_of(path)
    if not _take(claim):
        yield False
        return
    done = threading.Event()
    toucher = threading.Thread(target=_touch, args=(claim, done), daemon=True)
    toucher.start()
    try:
        yield True
    finally:
        done.set()
        toucher.join()
        claim.unlink(missing_ok=True)


class ClaimWatch:
    """Claims of others as they are seen from here, to tell those that nobody touches any more."""

    def __init__(self, stale_seconds: float = STALE_SECONDS) -> None:
        self._stale_seconds = stale_seconds
        self._seen: dict[Path, tuple[int, float]] = {}

    def is_free(self, path: Path) -> bool:
        """True if the work that makes `path` can be claimed; a stale claim on it is removed."""
        claim = _claim_of(path)
        try:
            touched = claim.stat().st_mtime_ns
        except OSError:
            return True
        before, since = self._seen.get(path, (None, 0.0))
        if touched != before:
            self._seen[path] = touched, time.monotonic()
        elif time.monotonic() - since > self._stale_seconds:
            _remove(claim)
            return True
        return _is_dead(claim)


class Attempts:
    """Number of times that work on `path` was begun and not ended, by this launch and by others.

    A launch that is still there after an attempt of its own ended without a word knows that the work killed its
    process. An attempt of another launch may have been ended by whoever ended that launch.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f".{path.name}.attempts")

    def counts(self, launch: str) -> tuple[int, int]:
        """(attempts of this launch, attempts of others)."""
        try:
            lines = self._path.read_text(encoding="utf-8").split()
        except (OSError, ValueError):
            return 0, 0
        return lines.count(launch), len(lines) - lines.count(launch)

    def begin(self, launch: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{launch}\n")

    def end(self) -> None:
        self._path.unlink(missing_ok=True)


def _claim_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.claim")


def _take(claim: Path) -> bool:
    for _ in range(2):
        try:
            file = os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            if not _is_dead(claim):
                return False
            _remove(claim)
        except OSError as error:
            raise OutputError(f"{claim.parent}: cannot be written: {error}; does the folder exist?") from error
        else:
            with os.fdopen(file, "w") as written:
                json.dump({"by": this_process(), "began": _start_of(os.getpid())}, written)
            return True
    return False


def _is_dead(claim: Path) -> bool:
    """True if a claim was made by a process of this machine that runs no more."""
    try:
        note = json.loads(claim.read_text(encoding="utf-8"))
        host, _, process = note["by"].rpartition("-")
        began = note["began"]
    except (OSError, ValueError, KeyError, TypeError):
        return False  # it is being written or removed
    if host != this_process().rpartition("-")[0]:
        return False
    return not is_alive(int(process)) or _start_of(int(process)) != began


def _start_of(process: int) -> str:
    """Start of a process, in its system's own count: numbers of processes are used again. Empty if unknown."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _remove(claim: Path) -> None:
    """Remove a claim once: of several who find it dead, one renames it."""
    grave = claim.with_name(f"{claim.name}.{this_process()}")
    with suppress(OSError):
        os.rename(claim, grave)
        grave.unlink()


def _touch(claim: Path, done: threading.Event) -> None:
    while not done.wait(_TOUCH_SECONDS):
        with suppress(OSError):
            os.utime(claim)
