"""Show how a video moves: camera, amount and direction of motion, and arrows over the video; no model is needed.

Prints a line for every piece of up to 4 seconds within a shot. With -o it writes the video again, at
its own size and with its sound, with arrows of the motion over it: what the front end of the model
knows of it, 6 times a second. Red goes right, green down, cyan left, violet up.

examples:
  videolavit motion film.mp4
  videolavit motion film.mp4 -o arrows.mp4
  videolavit motion film.mp4 -o arrows.mp4 --without-camera
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from videolavit.commands._shared.clip_options import refuse_pipe, refuse_still
from videolavit.commands._shared.console import StageBars, is_quiet, print_json, printable
from videolavit.commands._shared.motion_table import motion_rows
from videolavit.commands._shared.numbers import check_number
from videolavit.commands._shared.paths import check_free, check_target
from videolavit.errors import ConfigError
from videolavit.video import Limits

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit motion`."""

    file: Annotated[str, Positional]
    """Video."""
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FILE")] = None
    """Video with arrows to write: .mp4, .webm, .gif or .webp."""
    force: Annotated[bool, arg(aliases=["-f"])] = False
    """Replace a file that exists."""
    without_camera: bool = False
    """Take the camera's own motion out of the arrows."""
    seconds: float = 4.0
    """Longest piece that gets a line."""
    limits: Annotated[Limits, OmitArgPrefixes] = field(default_factory=Limits)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Measure, draw, report."""
    from videolavit.video.editing.motion_overlay import motion_overlay
    from videolavit.video.editing.motion_profile import motion_profiles

    check_number("--seconds", config.seconds, above=0)
    if config.output is None and (config.force or config.without_camera):
        option = "-f" if config.force else "--without-camera"
        raise ConfigError(f"{option} is about the video with arrows; name its file with -o, or leave it out")
    if config.output is not None:
        check_target(config.output, config.file, extensions=(".mp4", ".webm", ".gif", ".webp"))
        check_free(config.output, force=config.force)
    refuse_pipe(config.file)
    refuse_still(config.file)
    with StageBars(quiet=config.json) as bars:
        if config.output is not None:
            metadata = {"task": "motion", "source": Path(config.file).name}
            motion_overlay(
                config.file,
                config.output,
                without_camera=config.without_camera,
                limits=config.limits,
                metadata=metadata,
                progress=bars,
            )
        profiles = list(motion_profiles(config.file, seconds=config.seconds, limits=config.limits))
    if config.json:
        written = {} if config.output is None else {"output": str(config.output)}
        print_json({"source": config.file, **written, "pieces": [profile.as_dict() for profile in profiles]})
        return 0
    for row in motion_rows(profiles, names=False):
        print(printable(row))
    if config.output is not None and not is_quiet():
        print(printable(f"{config.output}: arrows over {Path(config.file).name}"))
    return 0
