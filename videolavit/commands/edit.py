"""Change how a video moves: what is seen and how it moves are apart, so one can be changed alone.

--motion-of takes the motion of another video; --reverse lets it run backwards; --scale 2 moves
everything twice as far, --scale -1 the other way; --freeze keeps it still. They are done in
this order. The input is a video, the tokens of one in a .txt file, or with --motion-of an image.
The extension of the output names its format: .mp4, .gif, .webp, or .png for a sheet of all frames.

examples:
  videolavit edit video.mp4 -o backwards.mp4 --reverse
  videolavit edit video.mp4 -o faster.mp4 --scale 2 --detokenizer warp
  videolavit edit image.png -o moving.gif --motion-of video.mp4
  videolavit edit tokens.txt -o still.mp4 --freeze --json
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from videolavit.commands._shared.clip_options import refuse_pipe
from videolavit.commands._shared.console import StageBars
from videolavit.commands._shared.generation_options import VideoOptions
from videolavit.commands._shared.model_options import ModelOptions, open_model
from videolavit.commands._shared.report import write
from videolavit.commands._shared.result_files import VideoFile
from videolavit.commands._shared.token_file import holds_tokens, read_tokens
from videolavit.errors import ConfigError
from videolavit.pipeline.motion_editing import MotionEdit

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit edit`."""

    file: Annotated[str, Positional]
    """Video, file with tokens, or image."""
    result: Annotated[VideoFile, OmitArgPrefixes] = field(default_factory=VideoFile)
    motion_of: Annotated[str | None, arg(metavar="FILE")] = None
    """Video, or file with tokens, whose motion is taken."""
    reverse: bool = False
    """Let the motion run backwards."""
    scale: float = 1.0
    """Move so many times as far."""
    freeze: bool = False
    """Keep everything where it is."""
    keyframe_from: Literal["tokens", "raw"] = "tokens"
    """Draw keyframes from their tokens, or show those of the video."""
    motion_from: Literal["tokens", "raw"] = "tokens"
    """Take the motion from its tokens, or as the video has it."""
    detokenizer: Literal["diffusion", "warp"] = "diffusion"
    """Method that turns a keyframe and its motion into frames; warp moves the keyframe along, without a network."""
    max_clips: int = 64
    """Take so many clips at most."""
    drawing: Annotated[VideoOptions, OmitArgPrefixes] = field(default_factory=VideoOptions)
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Draw, write, and say what was written."""
    output = _check(config)
    video = _source(config.file)
    motion_of = None if config.motion_of is None else _source(config.motion_of)
    model = open_model(config.model)
    with StageBars(quiet=config.json) as progress:
        edited = model.edit(
            video,
            motion_of=motion_of,
            reverse=config.reverse,
            scale=config.scale,
            freeze=config.freeze,
            keyframe=config.keyframe_from,
            motion=config.motion_from,
            detokenizer=config.detokenizer,
            max_clips=config.max_clips,
            progress=progress,
            **config.drawing.changes(),
        )
    write(edited, output, json=config.json, fps=config.result.fps, source=config.file, motion_of=config.motion_of)
    return 0


def _check(config: Config) -> Path:
    edit = MotionEdit(reverse=config.reverse, scale=config.scale, freeze=config.freeze)
    if edit.changes_nothing and config.motion_of is None:
        raise ConfigError("nothing to change; give --motion-of, --reverse, --scale or --freeze")
    stem = f"{'tokens' if config.file == '-' else Path(config.file).stem} edited"
    return config.result.path(stem, ".mp4", config.file, config.motion_of)


def _source(file: str) -> Any:
    """Input of the model for a file."""
    if holds_tokens(file):
        return read_tokens(file)
    refuse_pipe(file)
    return file
