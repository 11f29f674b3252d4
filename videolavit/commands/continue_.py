"""Draw what happens next in a video.

The last clips of the video are what the model goes on from. The result has the new frames
alone, or all of them with --whole, at 6 frames per second and the size that the model draws.
The extension of the output names its format: .mp4, .gif, .webp, or .png for a sheet.

examples:
  videolavit continue video.mp4 -o next.mp4
  videolavit continue video.mp4 "it moves up" -o longer.mp4 --whole --seed 2
  videolavit continue video.mp4 -o next.mp4 --clips 2 --continuation inversion --json
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from videolavit.commands._shared.clip_options import refuse_pipe
from videolavit.commands._shared.console import StageBars
from videolavit.commands._shared.generation_options import VideoOptions
from videolavit.commands._shared.model_options import ModelOptions, open_model
from videolavit.commands._shared.paths import check_target
from videolavit.commands._shared.report import named, report, write
from videolavit.commands.video import preview_writer
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.io.write import write_video

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit continue`."""

    file: Annotated[str, Positional]
    """Video to go on from."""
    prompt: Annotated[str, Positional] = ""
    """What happens next."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    """Where to write the result."""
    clips: int = 1
    """How many clips of 4 seconds to add."""
    whole: bool = False
    """Put the frames of the video in front of the new ones."""
    preview: Annotated[Path | None, arg(metavar="FILE")] = None
    """Write the first new clip there as soon as its motion is known, before its frames are drawn."""
    drawing: Annotated[VideoOptions, OmitArgPrefixes] = field(default_factory=VideoOptions)
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Draw, write, and say what was written."""
    check_target(config.output, config.file)
    refuse_pipe(config.file)
    if config.preview is not None:
        check_target(config.preview, config.file)
    model = open_model(config.model)
    with StageBars(quiet=config.json) as progress:
        video = model.continue_video(
            config.file,
            config.prompt,
            clips=config.clips,
            preview=None if config.preview is None else preview_writer(config.preview),
            progress=progress,
            **config.drawing.changes(),
        )
    if not config.whole:
        write(video, config.output, json=config.json, source=config.file)
        return 0
    frames = itertools.chain(_earlier(config.file, video.frames.shape[1:3], video.fps), video.frames)
    write_video(frames, config.output, fps=video.fps, metadata={**video.metadata, **named(source=config.file)})
    report(video, config.output, json=config.json, whole=True)
    return 0


def _earlier(file: str, size: tuple[int, int], fps: float) -> Iterator[np.ndarray]:
    """Frames of the video itself, one at a time, so that its length does not matter."""
    from videolavit.video.io.pixels import resize_image

    return (resize_image(frame, *size) for frame in images_on_ticks(file, fps=Fraction(fps).limit_denominator(1001)))
