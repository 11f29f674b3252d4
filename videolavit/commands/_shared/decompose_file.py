"""One video to one folder: what `videolavit decompose` does for each of its files.

A folder is complete when it has metadata.json. Everything is made in a folder `.unfinished` beside the results and
moved to its place at the end, the metadata last of all: whatever ends the work early leaves no result that looks whole.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from videolavit import __version__
from videolavit.clip import Clip
from videolavit.commands._shared.clip_options import ClipOptions, refuse_pipe
from videolavit.commands._shared.command_words import spoken
from videolavit.errors import OutputError, VideoLaVITError
from videolavit.video import VideoInfo, iter_clips, probe
from videolavit.video.clips.clip_file import ClipFileWriter, load_clips
from videolavit.video.visualize import contact_sheet, draw_clip

__all__ = ["Job", "Outcome", "decompose_file", "died"]

logger = logging.getLogger(__name__)

UNFINISHED = ".unfinished"
METADATA = "metadata.json"
CLIPS = "clips.safetensors"
MOST_TILES = 120
"""Of a contact sheet; of more clips it shows evenly spaced ones."""
FORMAT = 1
"""Of metadata.json; to be raised when folders of an older version should be done again."""

Progress = Callable[[int, VideoInfo], None]
"""Is told how many ticks of which video have been read."""

UNITS = {
    "motion": "content's movement since the frame before as a share of the image's width (x) and height (y), "
    "divided by 0.0993703 (x) and 0.1130276 (y), times 10",
    "motion_pixels": "pixels per frame, x to the right, y down",
    "clip_starts": "ticks of 1 / fps seconds from the start of the video",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A video and the folder for what comes of it."""

    source: str
    folder: str
    clips: ClipOptions
    rows: int = 20
    cols: int = 36
    """Grid that `motion` is resized to."""
    images: bool = True
    """True to write images."""
    redo: bool = False
    """Do it even where an earlier run did it."""

    def recorded(self) -> dict[str, Any]:
        """Options that the results depend on, as the metadata have them."""
        return {**asdict(self.clips), "rows": self.rows, "cols": self.cols, "images": self.images}


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Outcome of a job; plain values, so that it passes between processes and into JSON."""

    source: str
    folder: str
    status: str
    """`done`, `unchanged` (complete from an earlier run) or `failed`."""
    num_clips: int = 0
    seconds: float = 0.0
    error: str | None = None


def decompose_file(job: Job, progress: Progress | None = None) -> Outcome:
    """Take one video apart; errors become part of the outcome."""
    started = time.monotonic()
    try:
        refuse_pipe(job.source)
        earlier = None if job.redo else _complete(job)
        if earlier is not None:
            shutil.rmtree(Path(job.folder, UNFINISHED), ignore_errors=True)  # of a run that was killed at its very end
            return Outcome(source=job.source, folder=job.folder, status="unchanged", num_clips=len(earlier["clips"]))
        metadata = _work(job, started, progress or (lambda num_ticks, info: None))
    except Exception as error:
        logger.debug("%s", job.source, exc_info=True)
        return replace(died(job), error=_reason(error), seconds=time.monotonic() - started)
    seconds = time.monotonic() - started
    return Outcome(
        source=job.source, folder=job.folder, status="done", num_clips=len(metadata["clips"]), seconds=seconds
    )


def died(job: Job) -> Outcome:
    """The outcome of a job whose process ended without a word."""
    reason = "the process that worked on it died; perhaps there was too little memory, try fewer --workers"
    return Outcome(source=job.source, folder=job.folder, status="failed", error=reason)


def _reason(error: Exception) -> str:
    known = isinstance(error, VideoLaVITError | OSError) and str(error)
    return spoken(error) if known else f"unexpected {type(error).__name__}: {error}"


def _complete(job: Job) -> dict[str, Any] | None:
    """The metadata of an earlier run that this job would only repeat."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        metadata = json.loads(Path(job.folder, METADATA).read_text())
        same = all(metadata[key] == value for key, value in _identity(job).items())
        if same and all(Path(job.folder, name).is_file() for name in metadata["files"]):
            return metadata
    return None


def _identity(job: Job) -> dict[str, Any]:
    """Values that must be equal for an earlier result to be used."""
    stat = os.stat(job.source)
    file = {"name": Path(job.source).name, "num_bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}
    return {"format": FORMAT, "videolavit": __version__, "file": file, "options": job.recorded()}


def _work(job: Job, started: float, progress: Progress) -> dict[str, Any]:
    folder = Path(job.folder)
    existed = folder.is_dir()
    try:
        unfinished = _empty_folder(folder / UNFINISHED)
        info = probe(job.source, limits=job.clips.limits)
        identity = _identity(job)
        clips = _write_clips(job, info, unfinished, progress)
        metadata = {
            **identity,
            "source": job.source,
            "video": info.as_dict(),
            "units": UNITS,
            "clips": clips,
            "files": sorted(str(path.relative_to(unfinished)) for path in unfinished.rglob("*") if path.is_file()),
            "seconds": round(time.monotonic() - started, 3),
        }
        (unfinished / METADATA).write_text(json.dumps(metadata, indent=2) + "\n")
        _publish(unfinished, folder)
        return metadata
    finally:
        shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
        if not existed:
            with suppress(OSError):
                folder.rmdir()  # only if nothing is in it


def _empty_folder(folder: Path) -> Path:
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"cannot write to {folder.parent}: {error.strerror}; choose another folder") from error
    return folder


def _write_clips(job: Job, info: VideoInfo, folder: Path, progress: Progress) -> list[dict[str, Any]]:
    """Write arrays and images of all clips, and return what the metadata says of each."""
    described = []
    with ClipFileWriter(folder / CLIPS, rows=job.rows, cols=job.cols) as writer:
        clips = iter_clips(
            job.source, job.clips.for_library(), limits=job.clips.limits, progress=lambda ticks: progress(ticks, info)
        )
        for index, clip in enumerate(clips):
            writer.add(clip)
            described.append(_describe(clip, index))
            _save(clip.keyframe, folder / "keyframes" / f"{index:03}.png")
            if job.images:
                _save(draw_clip(clip), folder / "motion" / f"{index:03}.png")
    if job.images:
        shown = set(np.linspace(0, len(described) - 1, min(len(described), MOST_TILES)).astype(int).tolist())
        clips = (clip for index, clip in enumerate(load_clips(folder / CLIPS)) if index in shown)
        _save(contact_sheet(clips), folder / "contact-sheet.png")
    return described


def _describe(clip: Clip, index: int) -> dict[str, Any]:
    moving = np.linalg.norm(clip.motion.values[:, 1 : clip.num_real_frames], axis=0)
    return {
        "index": index,
        "start_tick": clip.start,
        "start_seconds": round(clip.start_seconds, 6),
        "end_seconds": round(clip.end_seconds, 6),
        "num_real_frames": clip.num_real_frames,
        "mean_motion_pixels": round(float(moving.mean()), 4) if moving.size else 0.0,
    }


def _save(image: np.ndarray, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    # Level 3 of 9 takes a third of the default's time for 5 % more bytes.
    Image.fromarray(image).save(path, compress_level=3)


def _publish(unfinished: Path, folder: Path) -> None:
    """Put finished results in place of older ones; the folder is incomplete from the first step to the last."""
    (folder / METADATA).unlink(missing_ok=True)
    for old in (*folder.glob("keyframes/[0-9]*.png"), *folder.glob("motion/[0-9]*.png")):
        old.unlink()
    (folder / "contact-sheet.png").unlink(missing_ok=True)
    for file in unfinished.rglob("*.*"):
        target = folder / file.relative_to(unfinished)
        if file.is_file() and file.name != METADATA:
            target.parent.mkdir(exist_ok=True)
            file.replace(target)
    (unfinished / METADATA).replace(folder / METADATA)
