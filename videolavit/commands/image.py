"""Generate an image from a text.

Images may be part of the prompt: `<image>` stands where each belongs, or they come first. The
extension of the output names its format: .png, .jpg, .webp, .gif or .mp4. It carries the prompt,
the seed, the model and the options, which `videolavit info` shows. The seed is a new one each
time, unless --seed names it.

examples:
  videolavit image "a small red circle"
  videolavit image "a small red circle" -o circle.png
  videolavit image "a large blue square" -o square.png --seed 3 --candidates 4
  videolavit image --like square.png -o other.png --seed 4
  videolavit image "a green star" -o star.webp --model video-lavit --device cuda --json
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from videolavit.commands._shared.console import StageBars
from videolavit.commands._shared.generation_options import ImageOptions, TokenOptions
from videolavit.commands._shared.model_options import ModelOptions, open_model
from videolavit.commands._shared.requests import HowMany, Request, answer_requests, new_seed
from videolavit.commands._shared.rerun import chosen_tokens, remembered
from videolavit.commands._shared.result_files import ResultFile

if TYPE_CHECKING:
    from videolavit.pipeline.outputs import GeneratedImage

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit image`."""

    prompt: Annotated[str, Positional] = ""
    """Text of what to generate."""
    file: Annotated[ResultFile, OmitArgPrefixes] = field(default_factory=ResultFile)
    how_many: Annotated[HowMany, OmitArgPrefixes] = field(default_factory=HowMany)
    image: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="FILE")] = ()
    """An image that belongs to the prompt; may be repeated."""
    candidates: int | None = None
    """Write the tokens of so many images, and decode those that the model finds to fit the prompt best."""
    like: Annotated[Path | None, arg(metavar="FILE")] = None
    """Repeat what this command wrote into a file; options that are given here override the file's."""
    generation: Annotated[ImageOptions, OmitArgPrefixes] = field(default_factory=ImageOptions)
    tokens: Annotated[TokenOptions, OmitArgPrefixes] = field(default_factory=TokenOptions)
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Generate, write, and say what was written."""
    before = remembered(config.like, "image")
    before.check_sources(image=config.image)
    seed = before.seed(config.generation.seed)
    prompt = config.prompt or ("" if config.how_many.prompts else before.prompt)
    seed = new_seed() if seed is None else seed
    requests = config.how_many.requests(prompt, seed, config.file, ".png", *config.image)
    model = open_model(config.model)
    before.check_model(model)

    def draw(request: Request) -> GeneratedImage:
        with StageBars(quiet=config.json) as progress:
            return model.image(
                request.prompt,
                image=list(config.image) or None,
                options=before.options,
                progress=progress,
                **before.number("candidates", config.candidates),
                **{**config.generation.changes(), "seed": request.seed},
                **chosen_tokens(config.tokens, model, before, after_image=False),
            )

    return answer_requests(requests, draw, json=config.json, image=config.image)
