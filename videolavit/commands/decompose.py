"""Take videos apart into keyframes and motion, as the model reads them.

For every video, in DIR (for several: in a folder of its own inside DIR):

  keyframes/000.png ...   the image that starts each clip
  motion/000.png ...      how each clip moves, as arrows and as colours
  contact-sheet.png       all keyframes with their times
  clips.safetensors       motion (n, 2, 24, 20, 36) float32 as the motion tokenizer reads it,
                          keyframes (n, H, W, 3) uint8, clip_starts (n,) in ticks, and more
  metadata.json           source, options, times, units; written last

Videos that are already there, complete and with the same options, are left as they are, so
an interrupted run goes on where it stopped. Results of another video, and other files of these
names, are replaced with -f alone. A video that cannot be read never stops the
others; the exit code is then 1, and the end of the output says why.

examples:
  videolavit decompose video.mp4 -o out
  videolavit decompose *.mp4 -o out --workers 4
  videolavit decompose video.mp4 -o out --select reference
  videolavit decompose video.mp4 -o out --json
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from videolavit import __version__
from videolavit.commands._shared.clip_options import ClipOptions
from videolavit.commands._shared.console import print_json, printable, progress_bar, tell_written
from videolavit.commands._shared.decompose_file import Job, Outcome, decompose_file, died, path_digest, settle
from videolavit.commands._shared.folders import made_folder
from videolavit.errors import ConfigError, VideoLaVITError
from videolavit.jobs.pool import for_each
from videolavit.video import VideoInfo

__all__ = ["Config", "run"]

_LARGEST_GRID = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit decompose`."""

    files: Annotated[tuple[str, ...], Positional, arg(metavar="FILE [FILE ...]", help_behavior_hint="(required)")]
    """Videos to take apart."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")]
    """Folder for the results; made if it does not exist."""
    clips: Annotated[ClipOptions, OmitArgPrefixes] = field(default_factory=ClipOptions)
    rows: int = 20
    """Rows of the grid that `motion` is resized to: what the motion tokenizer reads."""
    cols: int = 36
    """Columns of that grid."""
    no_images: bool = False
    """Draw no images of motion and no contact sheet: faster."""
    workers: int = 1
    """Processes that work on several videos at the same time; one per core is a good number."""
    redo: bool = False
    """Do also what is already complete."""
    force: Annotated[bool, arg(aliases=["-f"])] = False
    """Replace results of another video, and other files that have the names of results."""
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Decompose every file, report, and return the exit code."""
    _check(config)
    jobs = _jobs(config)
    folders = [job.folder for job in jobs]
    outcomes = sorted(_work(config, jobs), key=lambda outcome: folders.index(outcome.folder))
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if config.json:
        print_json({"videolavit": __version__, "videos": [asdict(outcome) for outcome in outcomes]})
    else:
        _summarise(outcomes)
    for outcome in failed:
        print(f"videolavit: failed: {printable(outcome.error or '')}", file=sys.stderr)
    if len(outcomes) > 1 and failed:
        print(f"videolavit: {len(failed)} of {len(outcomes)} videos failed", file=sys.stderr)
    return 1 if failed else 0


def _check(config: Config) -> None:
    if not config.files:
        raise ConfigError("name at least one video; videolavit decompose --help shows examples")
    if config.workers < 1:
        raise ConfigError(f"got --workers {config.workers}, expected at least 1")
    for option, number in (("--rows", config.rows), ("--cols", config.cols)):
        if not 1 <= number <= _LARGEST_GRID:
            raise ConfigError(f"got {option} {number}, expected 1 to {_LARGEST_GRID}")
    if config.clips.max_clips != ClipOptions().max_clips and config.clips.select != "reference":
        raise ConfigError("--max-clips goes with --select reference; --select uniform-N gives so many clips")
    config.clips.for_library()  # a wrong option should not wait for the first video to be found
    made_folder(config.output)


def _jobs(config: Config) -> list[Job]:
    """One job per different file, with a folder of its own that does not depend on the order of the files."""
    files = list(dict.fromkeys(config.files))
    if len(files) == 1:
        return [_job(config, files[0], config.output)]
    same_name = Counter(_plain_name(file) for file in files)
    jobs = []
    for file in files:
        name = Path(file).stem
        if same_name[_plain_name(file)] > 1:
            name += f"-{path_digest(file)}"
        jobs.append(_job(config, file, config.output / name))
    return jobs


def _job(config: Config, file: str, folder: Path) -> Job:
    return Job(
        source=file,
        folder=str(folder),
        clips=config.clips,
        rows=config.rows,
        cols=config.cols,
        images=not config.no_images,
        redo=config.redo,
        force=config.force,
    )


def _plain_name(file: str) -> str:
    """Names that some file systems would take for the same folder."""
    return Path(file).stem.casefold()


def _work(config: Config, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
    if len(jobs) == 1:
        yield _with_seconds_bar(jobs[0], quiet=config.json)
        return
    workers = min(config.workers, len(jobs))
    try:
        with (
            closing(for_each(decompose_file, jobs, workers=workers, died=died)) as outcomes,
            progress_bar(len(jobs), "video", quiet=config.json) as bar,
        ):
            for outcome in outcomes:
                bar.update()
                yield outcome
    finally:
        for job in jobs:  # of workers that were ended, or died
            with suppress(OSError, VideoLaVITError):
                settle(job.folder)


def _with_seconds_bar(job: Job, *, quiet: bool) -> Outcome:
    fps = job.clips.for_library().rate
    with progress_bar(None, "s of video", quiet=quiet) as bar:

        def show(num_ticks: int, info: VideoInfo) -> None:
            bar.total = None if info.duration_seconds is None else round(info.duration_seconds, 1)
            bar.update(round(float(num_ticks / fps), 1) - bar.n)

        return decompose_file(job, show)


def _summarise(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.error is None:
            took = "as it was" if outcome.status == "unchanged" else f"{outcome.seconds:.1f} s"
            clips = f"{outcome.num_clips} clip{'s' if outcome.num_clips != 1 else ''}"
            tell_written(f"{outcome.source}: {clips} in {outcome.folder} ({took})")
