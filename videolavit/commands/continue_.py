"""Generate what happens next in a video.

The last clip of the video is what the model goes on from. The result has the new frames
alone, or all of them with --whole, at 6 frames per second and the size that the model generates.
The extension of the output names its format: .mp4, .webm, .gif, .webp, or .png for a sheet.

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

from videolavit.commands._shared.clip_options import refuse_pipe, refuse_still
from videolavit.commands._shared.console import StageBars
from videolavit.commands._shared.generation_options import TokenOptions, VideoOptions
from videolavit.commands._shared.model_options import ModelOptions, open_model
from videolavit.commands._shared.paths import check_preview, refuse_swapped
from videolavit.commands._shared.report import named, report, write
from videolavit.commands._shared.requests import new_seed
from videolavit.commands._shared.rerun import Run, chosen_tokens
from videolavit.commands._shared.result_files import STDOUT, VideoFile
from videolavit.commands.video import preview_writer
from videolavit.errors import ConfigError
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
    """Text of what happens next."""
    result: Annotated[VideoFile, OmitArgPrefixes] = field(default_factory=VideoFile)
    clips: int = 1
    """Number of clips of 4 seconds to add."""
    whole: bool = False
    """Put the frames of the video in front of the new ones."""
    preview: Annotated[Path | None, arg(metavar="FILE")] = None
    """Write the first new clip there as soon as its motion is known, before its frames are decoded."""
    generation: Annotated[VideoOptions, OmitArgPrefixes] = field(default_factory=VideoOptions)
    tokens: Annotated[TokenOptions, OmitArgPrefixes] = field(default_factory=TokenOptions)
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Generate, write, and say what was written."""
    refuse_swapped("continue", config.file, config.prompt)
    refuse_still(config.file, "; `videolavit animate` brings it to life")
    output = config.result.path(f"{Path(config.file).stem} continued", ".mp4", config.file)
    seed = new_seed() if config.generation.seed is None else config.generation.seed
    refuse_pipe(config.file)
    if config.whole and output == STDOUT:
        raise ConfigError("--whole goes to a file, and not to stdout; name one with -o")
    if config.preview is not None:
        check_preview(config.preview, [output], config.file, force=config.result.force)
    model = open_model(config.model)
    with StageBars(quiet=config.json) as progress:
        video = model.continue_video(
            config.file,
            config.prompt,
            clips=config.clips,
            preview=None if config.preview is None else preview_writer(config.preview),
            progress=progress,
            **{**config.generation.changes(), "seed": seed},
            **chosen_tokens(config.tokens, model, Run(), after_image=False),
        )
    if not config.whole:
        write(video, output, json=config.json, fps=config.result.fps, source=config.file)
        return 0
    earlier = _Counted(_earlier(config.file, video.frames.shape[1:3], video.fps))
    frames = itertools.chain(earlier, video.frames)
    fps = config.result.fps or video.fps
    write_video(frames, output, fps=fps, metadata={**video.metadata, **named(source=config.file)})
    report(video, output, json=config.json, num_frames=earlier.count + len(video.frames), whole=True)
    return 0


class _Counted:
    """Frames, one at a time, with their number."""

    def __init__(self, frames: Iterator[np.ndarray]) -> None:
        self._frames, self.count = frames, 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for frame in self._frames:
            self.count += 1
            yield frame


def _earlier(file: str, size: tuple[int, int], fps: float) -> Iterator[np.ndarray]:
    """Frames of the video itself, one at a time, so that its length does not matter."""
    from videolavit.video.io.pixels import resize_image

    return (resize_image(frame, *size) for frame in images_on_ticks(file, fps=Fraction(fps).limit_denominator(1001)))
