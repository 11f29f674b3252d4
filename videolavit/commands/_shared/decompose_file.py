"""One video to one folder: what `videolavit decompose` does for each of its files.

A folder is complete when it has metadata.json. Everything is made in a folder `.unfinished` beside the results and
moved to its place at the end, the metadata last of all: whatever ends the work early leaves no result that looks whole.
Files that this command did not make for the same video stay as they are, unless they may be replaced.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from videolavit import __version__
from videolavit.clip import Clip
from videolavit.commands._shared.clip_options import ClipOptions, refuse_pipe
from videolavit.commands._shared.command_words import spoken
from videolavit.errors import ConfigError, OutputError, VideoLaVITError
from videolavit.video import VideoInfo, iter_clips, probe
from videolavit.video.clips.clip_file import ClipFileWriter, load_clips
from videolavit.video.visualize import contact_sheet, draw_clip

__all__ = ["Job", "Outcome", "decompose_file", "died", "path_digest", "settle"]

logger = logging.getLogger(__name__)

UNFINISHED = ".unfinished"
METADATA = "metadata.json"
REPLACED = "replaced.json"
"""Metadata of earlier results while newer ones take their place."""
CLIPS = "clips.safetensors"
SHEET = "contact-sheet.png"
MOST_TILES = 120
"""Of a contact sheet; of more clips it shows evenly spaced ones."""
FORMAT = 1
"""Of metadata.json; to be raised when folders of an older version should be done again."""

_RESULT = re.compile(r"(keyframes|motion)/[0-9]+\.png|contact-sheet\.png|clips\.safetensors|metadata\.json")
"""Names that results have."""

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
    force: bool = False
    """Replace results of another video, and other files of the same names."""

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
        settle(job.folder)
        earlier = None if job.redo else _complete(job)
        if earlier is not None:
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


def path_digest(file: str) -> str:
    """Eight digits that stand for the path of a file."""
    return sha256(os.fsencode(os.path.realpath(file))).hexdigest()[:8]


def settle(folder: str | Path) -> None:
    """Bring what a run that was ended left in `.unfinished` to an end: complete results take their place, others go.

    Raises:
        OutputError: complete results cannot take their place.
    """
    folder = Path(folder)
    unfinished = folder / UNFINISHED
    if (new := _own_metadata(unfinished / METADATA)) is not None:
        replaced = _results(_own_metadata(unfinished / REPLACED)) | _results(_own_metadata(folder / METADATA))
        waiting = {name for name in _results(new) if (unfinished / name).is_file()}
        if not waiting & (_present(folder) - replaced):
            _publish(unfinished, folder)
    shutil.rmtree(unfinished, ignore_errors=True)


def _reason(error: Exception) -> str:
    known = isinstance(error, VideoLaVITError | OSError) and str(error)
    return spoken(error) if known else f"unexpected {type(error).__name__}: {error}"


def _complete(job: Job) -> dict[str, Any] | None:
    """The metadata of an earlier run that this job would only repeat."""
    metadata = _own_metadata(Path(job.folder, METADATA))
    if metadata is not None and os.path.exists(job.source):
        same = all(metadata.get(key) == value for key, value in _identity(job).items())
        if same and all(Path(job.folder, name).is_file() for name in metadata["files"]):
            return metadata
    return None


def _own_metadata(file: Path) -> dict[str, Any] | None:
    """Metadata that this command wrote; None where there are none, or something else is there."""
    with suppress(OSError, ValueError):
        metadata = json.loads(file.read_text())
        kinds = {"videolavit": str, "source": str, "file": dict, "clips": list, "files": list}
        if isinstance(metadata, dict) and all(isinstance(metadata.get(name), kind) for name, kind in kinds.items()):
            return metadata
    return None


def _results(metadata: dict[str, Any] | None) -> set[str]:
    """Names of the results that metadata list, the metadata included; other names, which point anywhere, are none."""
    if metadata is None:
        return set()
    return {METADATA, *(name for name in metadata["files"] if isinstance(name, str) and _RESULT.fullmatch(name))}


def _present(folder: Path) -> set[str]:
    """Names of results that files of a folder have, whoever made them."""
    named = {name for name in (METADATA, CLIPS, SHEET) if os.path.lexists(folder / name)}
    images = (path for part in ("keyframes", "motion") for path in folder.glob(f"{part}/[0-9]*.png"))
    return named | {name for path in images if _RESULT.fullmatch(name := path.relative_to(folder).as_posix())}


def _check_place(job: Job, folder: Path) -> None:
    """Refuse a folder in which results would replace what this command did not make of the same video.

    Raises:
        ConfigError: it holds results of another video or other files, and they may not be replaced.
        OutputError: a file is where a folder of results would be, or the other way round.
    """
    earlier, present = _own_metadata(folder / METADATA), _present(folder)
    for name in ("keyframes", "motion", *sorted(present)):
        path = folder / name
        if os.path.lexists(path) and path.is_dir() != (name in ("keyframes", "motion")):
            raise OutputError(f"{path} is in the way of a result; name another folder with -o")
    if job.force:
        return
    if others := sorted(present - _results(earlier)):
        raise ConfigError(
            f"{folder}: holds other files, such as {others[0]}; name another folder with -o, or replace them with -f"
        )
    if earlier is not None and not _of_same_video(job, earlier):
        raise ConfigError(
            f"{folder}: holds the result of {earlier['source']}, another video; name another folder with -o, "
            "or replace it with -f"
        )


def _of_same_video(job: Job, earlier: dict[str, Any]) -> bool:
    """True if results are of the file of the job, as it is or as it was, or of one moved since."""
    if earlier["file"] == _identity(job)["file"]:
        return True
    if "path_digest" in earlier:
        return earlier["path_digest"] == path_digest(job.source)
    return path_digest(earlier["source"]) == path_digest(job.source)


def _identity(job: Job) -> dict[str, Any]:
    """Values that must be equal for an earlier result to be used."""
    stat = os.stat(job.source)
    file = {"name": Path(job.source).name, "num_bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}
    return {"format": FORMAT, "videolavit": __version__, "file": file, "options": job.recorded()}


def _work(job: Job, started: float, progress: Progress) -> dict[str, Any]:
    folder = Path(job.folder)
    info = probe(job.source, limits=job.clips.limits)
    _check_place(job, folder)
    made = not folder.is_dir()
    try:
        unfinished = _empty_folder(folder / UNFINISHED)
        identity = _identity(job)
        clips = _write_clips(job, info, unfinished, progress)
        metadata = {
            **identity,
            "source": job.source,
            "path_digest": path_digest(job.source),
            "video": info.as_dict(),
            "units": UNITS,
            "clips": clips,
            "files": sorted(path.relative_to(unfinished).as_posix() for path in unfinished.rglob("*.*")),
            "seconds": round(time.monotonic() - started, 3),
        }
        (unfinished / METADATA).write_text(json.dumps(metadata, indent=2) + "\n")
        _publish(unfinished, folder)
        return metadata
    finally:
        with suppress(OSError, VideoLaVITError):
            settle(folder)
        if made:
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
        _save(contact_sheet(clips), folder / SHEET)
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
    """Put finished results in place of those that the metadata in the folder list.

    The folder is incomplete from the first step to the last. What ends the work between them is no loss: `settle` goes
    on from there.

    Raises:
        OutputError: a file cannot be moved or removed.
    """
    try:
        if _own_metadata(folder / METADATA) is not None:
            (folder / METADATA).replace(unfinished / REPLACED)
        for name in sorted(_results(_own_metadata(unfinished / REPLACED)) - {METADATA}):
            if (unfinished / name).exists() or name not in _results(_own_metadata(unfinished / METADATA)):
                (folder / name).unlink(missing_ok=True)  # and not what is moved already
        for file in sorted(unfinished.rglob("*.*")):
            target = folder / file.relative_to(unfinished)
            if file.is_file() and file.name not in (METADATA, REPLACED):
                target.parent.mkdir(exist_ok=True)
                file.replace(target)
        (unfinished / METADATA).replace(folder / METADATA)
    except OSError as error:
        raise OutputError(f"{folder}: results cannot take their place: {error}") from error
