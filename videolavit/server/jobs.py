"""Videos as jobs on disk: a folder for each, of its state as JSON and its files. Survives a restart.

    <store>/video_0123.../job.json, video.mp4, thumbnail.webp, spritesheet.webp

Names come from random numbers of this program, never from a request. Every file appears whole or not at all.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from videolavit.config import from_dict, to_dict
from videolavit.errors import ConfigError, OutputError

__all__ = ["FILES", "Job", "JobStore"]

_log = logging.getLogger(__name__)

Status = Literal["queued", "in_progress", "completed", "failed"]

FILES: Mapping[str, tuple[str, str]] = {
    "video": ("video.mp4", "video/mp4"),
    "thumbnail": ("thumbnail.webp", "image/webp"),
    "spritesheet": ("spritesheet.webp", "image/webp"),
}
"""Name and media type of each variant of a job's content."""

_ID = re.compile(r"video_[0-9a-f]{32}\Z")
_STATE = "job.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """State of one job; what `job.json` holds."""

    id: str
    model: str
    prompt: str
    size: str
    """Width x height, such as 128x128."""
    seconds: str
    """Of the video, as the API writes it: text."""
    status: Status = "queued"
    progress: int = 0
    created_at: int = 0
    completed_at: int | None = None
    expires_at: int | None = None
    remixed_from_video_id: str | None = None
    error: dict[str, Any] | None = None
    """With code and message."""
    request: dict[str, Any] = field(default_factory=dict)
    """Request, to do it again with other words."""

    @property
    def as_api(self) -> dict[str, Any]:
        """The job as clients see it."""
        values = {name: value for name, value in to_dict(self).items() if name != "request"}
        return {**values, "object": "video"}

    @property
    def is_finished(self) -> bool:
        return self.status in ("completed", "failed")


class JobStore:
    """All jobs of one folder; may be used from any thread."""

    def __init__(self, folder: Path, *, keep_seconds: float | int = 86400.0, max_bytes: float | int = 1e10) -> None:
        """Open a folder, which is made if need be. Jobs that a stopped server left unfinished become failed.

        Args:
            folder: for this store alone.
            keep_seconds: how long the files of a finished job are kept.
            max_bytes: of all files; finished jobs are removed, oldest first, to stay below.

        Raises:
            OutputError: the folder cannot be written to, or another server uses it.
        """
        self.folder, self.keep_seconds, self.max_bytes = folder, keep_seconds, max_bytes
        self._lock = threading.RLock()
        self._jobs: dict[str, Job] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._guard = _locked(folder)
            self._recover()
        except OSError as error:
            raise OutputError(f"{folder} cannot be used to keep videos: {error}") from error

    def create(self, *, model: str, prompt: str, size: str, seconds: str, **state: Any) -> Job:
        """A new job, queued."""
        job = Job(
            id=f"video_{secrets.token_hex(16)}",
            model=model,
            prompt=prompt,
            size=size,
            seconds=seconds,
            created_at=int(time.time()),
            **state,
        )
        with self._lock:
            (self.folder / job.id).mkdir()
            try:
                self._put(job)
            except OSError:  # no half job stays behind
                self.delete(job.id)
                raise
        return job

    def get(self, job_id: str) -> Job | None:
        """The job of that id; None where there is none."""
        with self._lock:
            return self._jobs.get(job_id)

    def list(self) -> list[Job]:
        """All jobs, oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def counts(self) -> dict[str, int]:
        """Jobs by status."""
        counts: dict[str, int] = dict.fromkeys(("queued", "in_progress", "completed", "failed"), 0)
        for job in self.list():
            counts[job.status] += 1
        return counts

    def update(self, job_id: str, **changes: Any) -> Job | None:
        """The job with changes, which are on disk when this returns; None if it was deleted meanwhile."""
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None:
                return None
            job = dataclasses.replace(job, **changes)
            self._put(job)
            return job

    def begin(self, job_id: str) -> Job | None:
        """The job as under way; one that has ended meanwhile stays as it is."""
        with self._lock:
            job = self._jobs.get(job_id)
            return job if job is None or job.status != "queued" else self.update(job_id, status="in_progress")

    def note_progress(self, job_id: str, percent: int) -> None:
        """Remember how far a job is; never back, never 100, and not on disk: after a restart it is worth nothing."""
        with self._lock:
            job = self._jobs.get(job_id)
            if job is not None and job.progress < percent:
                self._jobs[job_id] = dataclasses.replace(job, progress=min(percent, 99))

    def complete(self, job_id: str) -> Job | None:
        """The job as done: its files are there."""
        now = int(time.time())
        expires = int(now + self.keep_seconds)
        return self.update(job_id, status="completed", progress=100, completed_at=now, expires_at=expires)

    def fail(self, job_id: str, code: str, message: str) -> Job | None:
        """The job as failed."""
        now = int(time.time())
        error = {"code": code, "message": message}
        expires = int(now + self.keep_seconds)
        return self.update(job_id, status="failed", completed_at=now, expires_at=expires, error=error)

    def path(self, job_id: str, variant: str = "video") -> Path:
        """Path of a file of a job, there or to be written.

        Raises:
            OutputError: this is no id of a job.
        """
        if not _ID.match(job_id):
            raise OutputError("this is no id of a video")
        return self.folder / job_id / FILES[variant][0]

    def delete(self, job_id: str) -> bool:
        """Remove a job and its files; False if there was none."""
        with self._lock:
            if self._jobs.pop(job_id, None) is None:
                return False
            gone = self.folder / f".gone-{job_id}"
            with suppress(FileNotFoundError):  # somebody else has removed it
                os.replace(self.folder / job_id, gone)  # all of it at once; what follows may be interrupted
        shutil.rmtree(gone, ignore_errors=True)
        return True

    def sweep(self) -> None:
        """Remove what has expired, and the oldest finished jobs while all files take too much."""
        now = time.time()
        for job in self.list():
            if job.is_finished and job.expires_at is not None and job.expires_at <= now:
                self.delete(job.id)
        finished = [job for job in self.list() if job.is_finished]
        total = self.num_bytes()
        for job in sorted(finished, key=lambda one: one.completed_at or 0):
            if total <= self.max_bytes:
                break
            total -= _size(self.folder / job.id)
            self.delete(job.id)

    def num_bytes(self) -> int:
        """Of all files."""
        return _size(self.folder)

    def close(self) -> None:
        """Let another server use the folder."""
        os.close(self._guard)

    def _put(self, job: Job) -> None:
        self._jobs[job.id] = job  # even if the disk is full: who asks for it must not wait for ever
        path = self.folder / job.id / _STATE
        unfinished = path.with_name(f".{_STATE}.unfinished")
        unfinished.write_text(json.dumps(to_dict(job), indent=2))
        os.replace(unfinished, path)

    def _recover(self) -> None:
        """Read what an earlier server left."""
        found: list[Job] = []
        for folder in self.folder.iterdir():
            if folder.name.startswith(".gone-"):
                shutil.rmtree(folder, ignore_errors=True)
            elif _ID.match(folder.name) and folder.is_dir():
                for unfinished in folder.glob(".*"):
                    unfinished.unlink(missing_ok=True)
                found += _read(folder)
        for job in sorted(found, key=lambda one: (one.created_at, one.id)):
            self._jobs[job.id] = job
            if not job.is_finished:
                self.fail(job.id, "server_restarted", "the server was restarted before the video was done; ask again")


def _read(folder: Path) -> list[Job]:
    try:
        return [from_dict(Job, json.loads((folder / _STATE).read_text()), where=_STATE)]
    except (OSError, ValueError, ConfigError) as error:
        _log.warning("%s is not a job that can be read, and is left alone: %s", folder.name, error)
        return []


def _locked(folder: Path) -> int:
    """A lock on the folder that the system drops with this process."""
    import fcntl

    file = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise OSError("another server uses it; give each its own with --store") from None
    return file


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):  # it passes over folders that are removed meanwhile
        for name in names:
            with suppress(OSError):  # removed meanwhile
                total += os.stat(os.path.join(parent, name)).st_size
    return total
