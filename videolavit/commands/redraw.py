"""Generate one clip of a story anew, by other words or another seed; all others stay as they are.

It needs the tokens that `videolavit video --story` writes with --save-tokens. Clips are counted
from 1, as lines of the story. The new clip goes on from the last frame before it, so that it may
jump at its end.

examples:
  videolavit video --story story.txt -o story.mp4 --save-tokens tokens.txt
  videolavit redraw story.mp4 4 "a red circle moves up" --tokens tokens.txt -o better.mp4
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from videolavit.commands._shared.clip_options import refuse_pipe
from videolavit.commands._shared.console import StageBars
from videolavit.commands._shared.generation_options import TokenOptions, VideoOptions
from videolavit.commands._shared.model_options import ModelOptions, open_model
from videolavit.commands._shared.paths import check_free, check_target
from videolavit.commands._shared.report import write
from videolavit.commands._shared.requests import new_seed
from videolavit.commands._shared.rerun import Run, chosen_tokens
from videolavit.commands._shared.result_files import VideoFile
from videolavit.commands._shared.token_file import TOKENS, naming, read_noted_tokens
from videolavit.errors import ConfigError
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.io.probe import probe

if TYPE_CHECKING:
    from videolavit.pipeline.outputs import GeneratedVideo

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit redraw`."""

    file: Annotated[str, Positional]
    """Video of the story."""
    clip: Annotated[int, Positional]
    """Number of the clip to generate anew, from 1 on."""
    prompt: Annotated[str, Positional]
    """Text of that clip."""
    story_tokens: Annotated[str, arg(name="tokens", metavar="FILE")]
    """Tokens of the story, as `videolavit video --story` saved them."""
    result: Annotated[VideoFile, OmitArgPrefixes] = field(default_factory=VideoFile)
    save_tokens: Annotated[Path | None, arg(metavar="FILE")] = None
    """Write the tokens of the new story there, to redraw another clip of it."""
    candidates: int | None = None
    """Write the tokens of so many drafts, and decode those that the model finds to fit the prompt best."""
    generation: Annotated[VideoOptions, OmitArgPrefixes] = field(default_factory=VideoOptions)
    tokens: Annotated[TokenOptions, OmitArgPrefixes] = field(default_factory=TokenOptions)
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Generate the clip, write the whole story, and say what was written."""
    output = config.result.path(f"{Path(config.file).stem} redrawn", ".mp4", config.file)
    refuse_pipe(config.file)
    if config.save_tokens is not None:
        check_target(config.save_tokens, config.file, config.story_tokens, extensions=TOKENS)
        check_free(config.save_tokens, force=config.result.force, option="--save-tokens")
    seed = new_seed() if config.generation.seed is None else config.generation.seed
    story = _story(config)
    if not 1 <= config.clip <= len(story.tokens):
        raise ConfigError(f"got clip {config.clip}, expected one from 1 to {len(story.tokens)}")
    model = open_model(config.model)
    with StageBars(quiet=config.json) as progress, naming(config.story_tokens):
        video = model.redraw_clip(
            story,
            config.clip - 1,
            config.prompt,
            candidates=config.candidates,
            progress=progress,
            **{**config.generation.changes(), "seed": seed},
            **chosen_tokens(config.tokens, model, Run(), after_image=False),
        )
    write(video, output, json=config.json, fps=config.result.fps, source=config.file)
    if config.save_tokens is not None:
        from videolavit.pipeline.token_text import save_token_text

        save_token_text(config.save_tokens, video.tokens, video.metadata)
    return 0


def _story(config: Config) -> GeneratedVideo:
    """The story as it was generated, out of its two files.

    Raises:
        ConfigError: the tokens are not those of this video. It is told before frames are read: those of another one may
            not fit into memory.
    """
    import numpy as np
    import torch

    from videolavit.pipeline.outputs import GeneratedVideo

    clips, note = read_noted_tokens(config.story_tokens)
    options, redrawn = note.get("options", {}), note.get("redrawn", [])
    if not isinstance(options, dict) or not isinstance(redrawn, list):
        raise ConfigError(
            f"{config.story_tokens}: its first line makes no sense; expected what `videolavit video --story` saved"
        )
    info = probe(config.file)
    size = tuple(options.get(name) for name in ("width", "height"))
    if size != (info.width, info.height):
        told = "say no size" if None in size else f"are of a story of {size[0]} x {size[1]} pixels"
        raise ConfigError(
            f"{config.file} has {info.width} x {info.height} pixels, and the tokens in {config.story_tokens} {told}; "
            "name the two files that `videolavit video --story` wrote together"
        )
    rate = info.frame_rate or Fraction(6)
    frames = np.stack(list(images_on_ticks(config.file, fps=rate)))
    ids = torch.empty(0, dtype=torch.long)
    return GeneratedVideo(frames=frames, fps=float(rate), tokens=tuple(clips), ids=ids, metadata=note)
