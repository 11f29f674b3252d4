"""Find and sort clips of a folder by how they move: camera, amount, direction; no model is needed.

Every video is cut into pieces that cross no cut and last up to 4 seconds. Amount is how fast things
move by themselves, the camera taken out: the mean over the image, in % of its width a second.

examples:
  videolavit search videos --camera pan-left pan-right
  videolavit search videos --direction left --min-amount 2 --sort amount
  videolavit search videos --camera still --top 10 --export picked
  videolavit search videos --index motion.jsonl --workers 2 --json
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from videolavit.commands._shared.console import StageBars, print_json, printable
from videolavit.commands._shared.folders import made_folder
from videolavit.commands._shared.motion_index import MotionIndex, measured
from videolavit.commands._shared.motion_table import motion_rows
from videolavit.commands._shared.numbers import check_number, check_order
from videolavit.commands._shared.paths import check_target
from videolavit.errors import ConfigError, MediaError
from videolavit.video import Limits

if TYPE_CHECKING:
    from videolavit.video.editing.motion_profile import MotionProfile

__all__ = ["Config", "run"]

Camera = Literal["still", "pan-left", "pan-right", "tilt-up", "tilt-down", "zoom-in", "zoom-out", "shaky"]
Direction = Literal["left", "right", "up", "down", "mixed", "none"]

VIDEOS = (
    ".mp4",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".ts",
    ".m2ts",
    ".wmv",
    ".flv",
    ".gif",
    ".3gp",
)
SORTS: dict[str, Callable[[MotionProfile], float]] = {
    "amount": lambda clip: -clip.amount,
    "camera": lambda clip: -clip.camera_speed,
    "shake": lambda clip: -clip.shake,
    "length": lambda clip: clip.start_seconds - clip.end_seconds,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit search`."""

    files: Annotated[tuple[str, ...], Positional, arg(metavar="DIR|FILE [...]", help_behavior_hint="(required)")]
    """Folders, searched with all below them, and videos."""
    camera: tuple[Camera, ...] = ()
    """Keep clips whose camera does one of these."""
    direction: tuple[Direction, ...] = ()
    """Keep clips in which things go one of these ways."""
    min_amount: float = 0.0
    """Keep clips with at least so much motion, in % of the width a second."""
    max_amount: float | None = None
    """Keep clips with at most so much."""
    sort: Literal["place", "amount", "camera", "shake", "length"] = "place"
    """Order of the clips: place is that of files and times; the others put most motion, the fastest camera, most
    shake or the longest clip first."""
    reverse: bool = False
    """Turn the order round: least first."""
    top: int | None = None
    """Show so many at most."""
    seconds: float = 4.0
    """Longest clip."""
    motion: Literal["reencode", "source"] = "reencode"
    """source takes the vectors that H.264 and MPEG videos carry: several times faster, less exact."""
    index: Annotated[Path | None, arg(metavar="FILE")] = None
    """File of what was measured, so that the next search takes no time; made if it does not exist."""
    export: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for the clips that were found, as videos."""
    force: Annotated[bool, arg(aliases=["-f"])] = False
    """Replace clips that exist there."""
    workers: int = 1
    """Processes that work on several videos at the same time."""
    limits: Annotated[Limits, OmitArgPrefixes] = field(default_factory=Limits)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Measure, choose, show."""
    if min(config.workers, 1 if config.top is None else config.top) < 1:
        raise ConfigError("--workers and --top must be at least 1")
    check_number("--seconds", config.seconds, above=0)
    if config.force and config.export is None:
        raise ConfigError("-f is about the clips that --export writes; name their folder with it, or leave -f out")
    check_number("--min-amount", config.min_amount)
    check_number("--max-amount", config.max_amount)
    check_order("--min-amount", config.min_amount, "--max-amount", config.max_amount)
    files = list(_videos(config.files))
    if not files and config.files:
        raise MediaError(f"{', '.join(config.files)}: holds no videos")
    if not files:
        raise ConfigError("name a folder with videos, or videos; videolavit search --help shows examples")
    if config.index is not None and not config.index.exists():
        check_target(config.index, extensions=(config.index.suffix.lower(),))
    if config.export is not None:
        made_folder(config.export)
    index = MotionIndex.read(config.index, seconds=config.seconds, motion=config.motion)
    with StageBars(quiet=config.json) as bars:
        clips, failed = measured(files, index, workers=config.workers, limits=config.limits, progress=bars)
        found = _chosen(clips, config)
        outputs = _exported(found, config, bars)
    if config.json:
        print_json({"clips": [clip.as_dict() for clip in found], "outputs": outputs, "failed": failed})
    else:
        for row in motion_rows(found, names=True):
            print(printable(row))
        print(printable(f"{len(found)} of {len(clips)} clips in {len(files) - len(failed)} videos"), file=sys.stderr)
    for name, reason in failed.items():
        print(f"videolavit: failed: {printable(reason if name in reason else f'{name}: {reason}')}", file=sys.stderr)
    return 1 if failed else 0


def _videos(names: Sequence[str]) -> Iterable[str]:
    """Videos in the order of their names, each once."""
    seen: set[Path] = set()
    for name in names:
        path = Path(name)
        if not path.exists():
            raise MediaError(f"{name}: no such file or folder")
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in inside:
            is_video = file.is_file() and (not path.is_dir() or file.suffix.lower() in VIDEOS)
            if is_video and not file.name.startswith(".") and file.resolve() not in seen:
                seen.add(file.resolve())
                yield str(file)


def _chosen(clips: Sequence[MotionProfile], config: Config) -> list[MotionProfile]:
    kept = [clip for clip in clips if _fits(clip, config)]
    if config.sort != "place":
        kept.sort(key=SORTS[config.sort])
    return (kept[::-1] if config.reverse else kept)[: config.top]


def _fits(clip: MotionProfile, config: Config) -> bool:
    percent = 100 * clip.amount
    return (
        (not config.camera or clip.camera in config.camera)
        and (not config.direction or clip.direction in config.direction)
        and percent >= config.min_amount
        and (config.max_amount is None or percent <= config.max_amount)
    )


def _exported(clips: Sequence[MotionProfile], config: Config, bars: StageBars) -> list[str]:
    from videolavit.video.editing.film_edit import cut_out

    if config.export is None:
        return []
    paths = _clip_paths(clips, made_folder(config.export), force=config.force)
    for number, (clip, path) in enumerate(zip(clips, paths, strict=True), start=1):
        metadata = {**clip.as_dict(), "task": "search", "source": Path(clip.source).name}
        cut_out(clip.source, path, clip.start_seconds, clip.end_seconds, limits=config.limits, metadata=metadata)
        bars("export", number, len(clips))
    return list(map(str, paths))


def _clip_paths(clips: Sequence[MotionProfile], folder: Path, *, force: bool) -> list[Path]:
    """A file of its own for each clip, also where videos of several folders have the same name.

    Raises:
        ConfigError: a file exists and may not be replaced.
    """
    taken: dict[Path, None] = {}
    for clip in clips:
        stem = f"{Path(clip.source).stem}-{clip.start_seconds:07.2f}"
        numbers = itertools.count(2)
        path = folder / f"{stem}.mp4"
        while path in taken:
            path = folder / f"{stem}-{next(numbers)}.mp4"
        if path.exists() and not force:
            raise ConfigError(f"{path} exists; name another folder with --export, or replace it with -f")
        taken[path] = None
    return list(taken)
