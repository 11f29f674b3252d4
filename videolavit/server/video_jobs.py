"""Video jobs from request to files: asks the engine, tells the store how far it is, writes what comes out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from videolavit.errors import OutputError
from videolavit.server.engine import Event, NotReadyError, Task, Ticket, WorkCancelledError
from videolavit.server.jobs import Job, JobStore
from videolavit.server.model_tasks import VideoProgress, VideoRequest
from videolavit.server.services import Services
from videolavit.video.io.write import complete_or_absent, write_video

__all__ = ["VideoJobs"]

_log = logging.getLogger(__name__)

_SHEET_FRAMES = 24


class VideoJobs:
    """The jobs under way."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._tickets: dict[str, Ticket] = {}
        self._lock = threading.Lock()

    def start(self, task: Task, **state: Any) -> Job:
        """Create a job and put its work in line.

        Raises:
            ApiError: there is no room; then there is no job, either.
        """
        services = self._services
        job = services.jobs.create(**state)
        run = _Run(job, task.params, services.jobs, services.files, self._end, services.refusal)
        try:
            ticket = services.submit_task(task, listener=run)
        except BaseException:
            services.jobs.delete(job.id)
            raise
        with self._lock:
            self._tickets[job.id] = ticket
        if ticket.future.done():
            self._end(job.id)
        return job

    def cancel(self, job_id: str) -> Ticket | None:
        """Stop the work of a job, if there is any; its ticket."""
        with self._lock:
            ticket = self._tickets.get(job_id)
        if ticket is not None:
            ticket.cancel()
        return ticket

    def _end(self, job_id: str) -> None:
        with self._lock:
            self._tickets.pop(job_id, None)


class _Run:
    """Listener of one job's work."""

    def __init__(
        self,
        job: Job,
        request: VideoRequest,
        jobs: JobStore,
        files: Executor,
        on_end: Callable[[str], None],
        refusal: Callable[[Exception], Any],
    ) -> None:
        self._id, self._metadata = job.id, {"prompt": job.prompt}
        self._before = request.video if request.way == "extend" else None
        self._jobs, self._files, self._on_end, self._refusal = jobs, files, on_end, refusal
        self._percent = VideoProgress(request.clips)

    def __call__(self, event: Event) -> None:
        """Take an event; on the engine's thread, so that whatever takes long is left to others."""
        kind, content = event
        if kind == "progress":
            self._jobs.note_progress(self._id, self._percent(*content))
        elif kind == "started":
            self._files.submit(self._logged, self._jobs.begin, self._id)
        elif kind == "preview" and content[1] == 0:
            self._files.submit(self._logged, self._write_preview, content[0])
        elif kind == "done":
            self._files.submit(self._logged, self._write, content)
        elif kind == "failed":
            self._on_end(self._id)
            self._files.submit(self._logged, self._fail, content)

    def _logged(self, work: Callable[..., Any], *arguments: Any) -> None:
        try:
            work(*arguments)
        except Exception as error:
            if self._jobs.get(self._id) is not None:  # else it was deleted meanwhile, and its folder is gone
                _log.error("%s: %s", self._id, error, exc_info=not isinstance(error, OSError))
                with suppress(OSError):  # which has just been told
                    message = "the video could not be written; the server's log says why"
                    self._jobs.fail(self._id, "storage_error", message)

    def _write_preview(self, frames: np.ndarray) -> None:
        with suppress(OutputError):  # no reason to end a job that is under way: if it stays so, its video tells
            _write_still(frames[len(frames) // 2], self._jobs.path(self._id, "thumbnail"))

    def _write(self, video: Any) -> None:
        try:
            frames = (
                video.frames if self._before is None else np.concatenate([_fitting(self._before, video), video.frames])
            )
            write_video(frames, self._jobs.path(self._id), fps=video.fps, metadata=video.metadata)
            _write_still(frames[len(frames) // 2], self._jobs.path(self._id, "thumbnail"))
            shown = frames[np.linspace(0, len(frames) - 1, min(len(frames), _SHEET_FRAMES)).round().astype(int)]
            _write_sheet(shown, self._jobs.path(self._id, "spritesheet"))
            self._jobs.complete(self._id)
        finally:
            self._on_end(self._id)
        self._jobs.sweep()

    def _fail(self, error: Exception) -> None:
        if isinstance(error, WorkCancelledError):
            self._jobs.fail(self._id, "cancelled", "the job was cancelled")
        elif isinstance(error, NotReadyError):
            self._jobs.fail(self._id, "server_stopped", "the server was stopped before the video was done; ask again")
        else:
            answer = self._refusal(error)
            self._jobs.fail(self._id, answer.code or "failed", answer.message)


def _fitting(before: Any, video: Any) -> np.ndarray:
    """Frames of the video that was gone on from, at the size of the new ones."""
    height, width = video.frames.shape[1:3]
    return np.stack([_resized(frame, width, height) for frame in before.images])


def _resized(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.array(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))


def _write_still(frame: np.ndarray, path: Path) -> None:
    with complete_or_absent(path) as unfinished:
        Image.fromarray(frame).save(unfinished, format="WEBP", quality=90)


def _write_sheet(frames: np.ndarray, path: Path) -> None:
    """Up to 24 frames in reading order, six in a row."""
    height, width = frames.shape[1:3]
    rows = -(-len(frames) // 6)
    sheet = np.zeros((rows, 6, height, width, 3), np.uint8)
    for index, frame in enumerate(frames):
        sheet[divmod(index, 6)] = frame
    _write_still(sheet.swapaxes(1, 2).reshape(rows * height, 6 * width, 3), path)
