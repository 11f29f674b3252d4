"""Draw a video of what a text says, or one that starts with an image.

Clips last 4 seconds; further ones go on from the last frame of the one before. The extension of
the output names its format: .mp4, .gif, .webp, or .png for a sheet of all frames. It carries the
prompt, the seed, the model and the options, which `videolavit info` shows.

examples:
  videolavit video "a red circle moves right" -o circle.mp4
  videolavit video "a red circle moves right" -o circle.gif --seed 2 --candidates 4
  videolavit video "a red circle moves right, then up" -o long.mp4 --clips 2 --preview first.gif
  videolavit video "it moves left" -o left.mp4 --image image.png
  videolavit video --like circle.mp4 -o again.mp4
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from videolavit.commands._shared.console import StageBars
from videolavit.commands._shared.generation_options import VideoOptions
from videolavit.commands._shared.model_options import ModelOptions, open_model
from videolavit.commands._shared.paths import check_target
from videolavit.commands._shared.report import write
from videolavit.commands._shared.rerun import remembered
from videolavit.errors import ConfigError
from videolavit.video.io.write import write_video

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Config", "run"]

PREVIEW_FPS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit video`."""

    prompt: Annotated[str, Positional] = ""
    """What to draw; may be left out where there is an image."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    """Where to write the video."""
    image: Annotated[str | None, arg(metavar="FILE")] = None
    """An image to start with, brought to the size of the video."""
    keyframe: Annotated[str | None, arg(metavar="FILE")] = None
    """An image that another model drew for the prompt, to start with; the video takes its shape."""
    clips: int | None = None
    """How many clips; by default 1."""
    candidates: int | None = None
    """Write the tokens of so many videos, and draw the one that the model finds to fit the prompt best."""
    like: Annotated[Path | None, arg(metavar="FILE")] = None
    """Draw again what this command wrote into a file; what is given here goes before what it was drawn with."""
    preview: Annotated[Path | None, arg(metavar="FILE")] = None
    """Write the first clip there as soon as its motion is known: the keyframe moved along, before frames are drawn."""
    drawing: Annotated[VideoOptions, OmitArgPrefixes] = field(default_factory=VideoOptions)
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Draw, write, and say what was written."""
    _check(config)
    before = remembered(config.like, "video")
    before.check_sources(image=config.image, keyframe=config.keyframe)
    model = open_model(config.model)
    before.check_model(model)
    with StageBars(quiet=config.json) as progress:
        video = model.video(
            config.prompt or before.prompt,
            image=config.image,
            keyframe=config.keyframe,
            options=before.options,
            preview=None if config.preview is None else preview_writer(config.preview),
            progress=progress,
            **before.number("clips", config.clips),
            **before.number("candidates", config.candidates),
            **config.drawing.changes(),
        )
    write(video, config.output, json=config.json, image=config.image, keyframe=config.keyframe)
    return 0


def preview_writer(path: Path) -> Callable[[np.ndarray, int], None]:
    """What writes the preview of the first clip into a file."""

    def write(frames: np.ndarray, clip: int) -> None:
        if clip == 0:
            write_video(frames, path, fps=PREVIEW_FPS, metadata={"made_by": "videolavit", "task": "preview"})

    return write


def _check(config: Config) -> None:
    check_target(config.output, config.image, config.keyframe)
    if config.preview is not None:
        check_target(config.preview, config.image, config.keyframe)
        if config.preview.absolute() == config.output.absolute():
            raise ConfigError(f"--preview and --output are the same file, {config.output}; name two")
