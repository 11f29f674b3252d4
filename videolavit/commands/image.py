"""Draw an image of what a text says.

Images may be part of the prompt: `<image>` stands where each belongs, or they come first. The
extension of the output names its format: .png, .webp, .gif or .mp4. It carries the prompt, the
seed, the model and the options, which `videolavit info` shows.

examples:
  videolavit image "a small red circle" -o circle.png
  videolavit image "a large blue square" -o square.png --seed 3 --candidates 4
  videolavit image --like square.png -o other.png --seed 4
  videolavit image "a green star" -o star.webp --model video-lavit --device cuda --json
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from videolavit.commands._shared.console import StageBars
from videolavit.commands._shared.generation_options import ImageOptions
from videolavit.commands._shared.model_options import ModelOptions, open_model
from videolavit.commands._shared.paths import check_target
from videolavit.commands._shared.report import write
from videolavit.commands._shared.rerun import remembered

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit image`."""

    prompt: Annotated[str, Positional] = ""
    """What to draw."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    """Where to write the image."""
    image: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="FILE")] = ()
    """An image that belongs to the prompt; may be repeated."""
    candidates: int | None = None
    """Write the tokens of so many images, and draw the one that the model finds to fit the prompt best."""
    like: Annotated[Path | None, arg(metavar="FILE")] = None
    """Draw again what this command wrote into a file; what is given here goes before what it was drawn with."""
    drawing: Annotated[ImageOptions, OmitArgPrefixes] = field(default_factory=ImageOptions)
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Draw, write, and say what was written."""
    check_target(config.output, *config.image)
    before = remembered(config.like, "image")
    before.check_sources(image=config.image)
    model = open_model(config.model)
    before.check_model(model)
    with StageBars(quiet=config.json) as progress:
        image = model.image(
            config.prompt or before.prompt,
            image=list(config.image) or None,
            options=before.options,
            progress=progress,
            **before.number("candidates", config.candidates),
            **config.drawing.changes(),
        )
    write(image, config.output, json=config.json, image=config.image)
    return 0
