"""Find the cuts of a video, and export its shots as videos of their own; no model is needed.

Shots are listed with their times, exact to the frame. With -o each becomes a video in DIR, at the
size of the original and with its sound: NAME-001.mp4, NAME-002.mp4 and so on.

examples:
  videolavit cuts film.mp4
  videolavit cuts film.mp4 -o shots
  videolavit cuts film.mp4 --sensitivity 0.4 --json
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from videolavit.commands._shared.clip_options import refuse_pipe, refuse_still
from videolavit.commands._shared.console import StageBars, is_quiet, print_json, printable, told_seconds
from videolavit.commands._shared.folders import made_folder
from videolavit.commands._shared.numbers import check_number
from videolavit.errors import ConfigError
from videolavit.video import Limits

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit cuts`."""

    file: Annotated[str, Positional]
    """Video."""
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="DIR")] = None
    """Folder for the shots as videos; made if it does not exist. Without it they are listed alone."""
    force: Annotated[bool, arg(aliases=["-f"])] = False
    """Replace files that exist."""
    format: Literal["mp4", "webm"] | None = None
    """Format of the files, by default mp4."""
    min_seconds: float = 0.0
    """Leave out shorter shots."""
    sensitivity: float = 0.75
    """0 to 1: how small a change of the image counts as a cut."""
    limits: Annotated[Limits, OmitArgPrefixes] = field(default_factory=Limits)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Find, list, export."""
    from videolavit.video.editing.shot_list import find_shots
    from videolavit.video.motion.shots import CutDetectorConfig

    if not 0 <= config.sensitivity < 1:
        raise ConfigError(f"--sensitivity must be 0 or more and less than 1, got {config.sensitivity:g}")
    check_number("--min-seconds", config.min_seconds)
    if config.output is None and (config.force or config.format is not None):
        raise ConfigError(
            f"{'-f' if config.force else '--format'} is about the files of shots; name their folder with -o"
        )
    refuse_pipe(config.file)
    refuse_still(config.file)
    detector = CutDetectorConfig(threshold=1 - config.sensitivity)
    with StageBars(quiet=config.json) as bars:

        def show(done: int, total: int) -> None:
            bars("look for cuts", done, max(done, total))

        if config.output is not None:
            made_folder(config.output)  # or told before any work that it cannot be
        shots = find_shots(config.file, detector=detector, limits=config.limits, progress=show)
        shots = [shot for shot in shots if shot.seconds >= config.min_seconds]
        paths = _paths(config, len(shots))
        for number, (shot, path) in enumerate(zip(shots, paths, strict=False), start=1):
            _export(config, path, shot.start_seconds, shot.end_seconds)
            bars("write", number, len(shots))
    rows = [
        {"number": number, "start_seconds": round(shot.start_seconds, 3), "end_seconds": round(shot.end_seconds, 3)}
        for number, shot in enumerate(shots, start=1)
    ]
    for row, path in zip(rows, paths, strict=False):
        row["output"] = str(path)
    _report(config, rows)
    if not rows and not config.json and not is_quiet():
        print("videolavit: no shot is that long; give a lower --min-seconds", file=sys.stderr)
    return 0


def _paths(config: Config, count: int) -> list[Path]:
    """Names of the exported shots, none of which exists."""
    if config.output is None:
        return []
    folder = made_folder(config.output)
    paths = [
        folder / f"{Path(config.file).stem}-{number:03}.{config.format or 'mp4'}" for number in range(1, count + 1)
    ]
    for path in paths:
        if path.exists() and not config.force:
            raise ConfigError(f"{path} exists; name another folder with -o, or replace it with -f")
    return paths


def _export(config: Config, path: Path, start: float, end: float) -> None:
    from videolavit.video.editing.film_edit import cut_out

    metadata = {"task": "cuts", "source": Path(config.file).name, "start_seconds": start, "end_seconds": end}
    cut_out(config.file, path, start, end, limits=config.limits, metadata=metadata)


def _report(config: Config, rows: Sequence[dict[str, Any]]) -> None:
    if config.json:
        print_json({"source": config.file, "shots": rows})
        return
    for row in rows:
        times = f"{told_seconds(row['start_seconds'])} to {told_seconds(row['end_seconds'])}"
        length = f"{row['end_seconds'] - row['start_seconds']:.2f} s"
        print(printable(f"{row['number']:4}  {times}  {length:>10}  {row.get('output', '')}".rstrip()))
