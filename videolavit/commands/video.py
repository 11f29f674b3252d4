"""Generate a video from a text, or one that starts with an image.

Clips last 4 seconds; further ones go on from the last frame of the one before. The extension of
the output names its format: .mp4, .webm, .gif, .webp, or .png and .jpg for a sheet of all frames.
It carries the prompt, the seed, the model and the options, which `videolavit info` shows. The
seed is a new one each time, unless --seed names it.

examples:
  videolavit video "a red circle moves right"
  videolavit video "a red circle moves right" -o circle.mp4
  videolavit video "a red circle moves right" -o circle.gif --seed 2 --candidates 4
  videolavit video "a red circle moves right, then up" -o long.mp4 --clips 2 --preview first.gif
  videolavit video "it moves left" -o left.mp4 --image image.png
  videolavit video "a red circle moves right" --num-outputs 4 --temperature 0.8
  videolavit video --prompts prompts.txt -o videos
  videolavit video --story story.txt -o story.mp4
  videolavit video --like circle.mp4 -o again.mp4
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from videolavit.commands._shared.console import StageBars
from videolavit.commands._shared.generation_options import TokenOptions, VideoOptions
from videolavit.commands._shared.model_options import ModelOptions, open_model
from videolavit.commands._shared.paths import check_preview
from videolavit.commands._shared.requests import HowMany, Request, answer_requests, new_seed
from videolavit.commands._shared.rerun import Run, chosen_tokens, remembered
from videolavit.commands._shared.result_files import VideoFile
from videolavit.commands._shared.story_file import tell_story
from videolavit.errors import ConfigError
from videolavit.video.io.write import write_video

if TYPE_CHECKING:
    import numpy as np

    from videolavit.pipeline.outputs import GeneratedVideo

__all__ = ["Config", "run"]

PREVIEW_FPS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit video`."""

    prompt: Annotated[str, Positional] = ""
    """Text of what to generate; may be left out where there is an image."""
    file: Annotated[VideoFile, OmitArgPrefixes] = field(default_factory=VideoFile)
    how_many: Annotated[HowMany, OmitArgPrefixes] = field(default_factory=HowMany)
    image: Annotated[str | None, arg(metavar="FILE")] = None
    """An image to start with, brought to the size of the video."""
    keyframe: Annotated[str | None, arg(metavar="FILE")] = None
    """An image from another model for the prompt, to start with; the video takes its shape."""
    story: Annotated[Path | None, arg(metavar="FILE")] = None
    """A file with the prompt of one clip in each line, or - for stdin: one video of any length. The first keyframe and
    the last clips stay in view of the model."""
    save_tokens: Annotated[Path | None, arg(metavar="FILE")] = None
    """Write the tokens of a story there, from which `videolavit redraw` generates single clips anew."""
    clips: int | None = None
    """Number of clips; by default 1."""
    candidates: int | None = None
    """Write the tokens of so many videos, and decode those that the model finds to fit the prompt best."""
    like: Annotated[Path | None, arg(metavar="FILE")] = None
    """Repeat what this command wrote into a file; options that are given here override the file's."""
    preview: Annotated[Path | None, arg(metavar="FILE")] = None
    """Write the first clip there as soon as its motion is known: the keyframe moved along, before any decoding."""
    generation: Annotated[VideoOptions, OmitArgPrefixes] = field(default_factory=VideoOptions)
    tokens: Annotated[TokenOptions, OmitArgPrefixes] = field(default_factory=TokenOptions)
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Generate, write, and say what was written."""
    if config.story is not None:
        return tell_story(config, config.story)
    if config.save_tokens is not None:
        raise ConfigError("--save-tokens goes with --story; `videolavit tokenize` writes the tokens of any video")
    before = remembered(config.like, "video")
    before.check_sources(image=config.image, keyframe=config.keyframe)
    requests = _requests(config, before)
    model = open_model(config.model)
    before.check_model(model)

    def draw(request: Request) -> GeneratedVideo:
        with StageBars(quiet=config.json) as progress:
            return model.video(
                request.prompt,
                image=config.image,
                keyframe=config.keyframe,
                options=before.options,
                preview=None if config.preview is None else preview_writer(config.preview),
                progress=progress,
                **before.number("clips", config.clips),
                **before.number("candidates", config.candidates),
                **{**config.generation.changes(), "seed": request.seed},
                **chosen_tokens(config.tokens, model, before, after_image=config.image is not None),
            )

    sources = {"image": config.image, "keyframe": config.keyframe}
    return answer_requests(requests, draw, json=config.json, fps=config.file.fps, **sources)


def _requests(config: Config, before: Run) -> list[Request]:
    sources = (config.image, config.keyframe)
    if all(sources):
        raise ConfigError("--image and --keyframe are two things to start from; give one of them")
    seed = before.seed(config.generation.seed)
    prompt = config.prompt or ("" if config.how_many.prompts else before.prompt)
    seed = new_seed() if seed is None else seed
    requests = config.how_many.requests(prompt, seed, config.file, ".mp4", *sources)
    if config.preview is not None:
        if len(requests) > 1:
            raise ConfigError(f"--preview is one file, and {len(requests)} videos are made; make them one by one")
        outputs = (request.output for request in requests)
        check_preview(config.preview, outputs, *sources, force=config.file.force)
    return requests


def preview_writer(path: Path) -> Callable[[np.ndarray, int], None]:
    """Function that writes the preview of the first clip into a file."""

    def write(frames: np.ndarray, clip: int) -> None:
        if clip == 0:
            write_video(frames, path, fps=PREVIEW_FPS, metadata={"made_by": "videolavit", "task": "preview"})

    return write
