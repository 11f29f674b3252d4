"""Bring an image to life: it is the first frame, and the model writes how it goes on.

A text may say what is to move and where. The extension of the output names its format: .mp4,
.webm, .gif, .webp, .png, .jpg. It carries the text, the seed, the model and the
options, which `videolavit info` shows.

examples:
  videolavit animate image.png -o alive.mp4
  videolavit animate image.png "the circle moves left" -o left.mp4 --seed 4
  videolavit animate image.png "the circle moves left" -o long.gif --clips 2 --json
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from videolavit.commands import video
from videolavit.commands._shared.clip_options import is_film
from videolavit.commands._shared.generation_options import TokenOptions, VideoOptions
from videolavit.commands._shared.model_options import ModelOptions
from videolavit.commands._shared.paths import refuse_swapped
from videolavit.commands._shared.requests import HowMany
from videolavit.commands._shared.result_files import VideoFile
from videolavit.errors import MediaError

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit animate`."""

    image: Annotated[str, Positional]
    """File of the image to start with."""
    prompt: Annotated[str, Positional] = ""
    """Text of what happens."""
    file: Annotated[VideoFile, OmitArgPrefixes] = field(default_factory=VideoFile)
    how_many: Annotated[HowMany, OmitArgPrefixes] = field(default_factory=HowMany)
    clips: int = 1
    """Number of clips of 4 seconds."""
    preview: Annotated[Path | None, arg(metavar="FILE")] = None
    """Write the first clip there as soon as its motion is known: the image moved along, before frames are decoded."""
    generation: Annotated[VideoOptions, OmitArgPrefixes] = field(default_factory=VideoOptions)
    tokens: Annotated[TokenOptions, OmitArgPrefixes] = field(default_factory=TokenOptions)
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Generate, write, and say what was written: `videolavit video` that starts with an image."""
    refuse_swapped("animate", config.image, config.prompt)
    if is_film(config.image):
        raise MediaError(f"{config.image}: is not an image but a video, from which `videolavit continue` goes on")
    return video.run(
        video.Config(
            prompt=config.prompt,
            file=config.file,
            how_many=config.how_many,
            image=config.image,
            clips=config.clips,
            preview=config.preview,
            generation=config.generation,
            tokens=config.tokens,
            model=config.model,
            json=config.json,
        )
    )
