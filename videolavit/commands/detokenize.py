"""Decode tokens to an image or a video: the text that `videolavit tokenize` wrote, edited or not.

Each clip is decoded by itself; one without motion gives a single frame. `-` reads the tokens
from stdin. The extension of the output names its format: .mp4, .webm, .gif, .webp, or .png for an
image or a sheet of all frames. The detokenizer `warp` moves each keyframe along its motion
without a network: fast, and with nothing new where something comes into view.

examples:
  videolavit detokenize tokens.txt -o again.mp4
  videolavit detokenize tokens.txt -o fast.gif --detokenizer warp --seed 1
  videolavit tokenize video.mp4 | videolavit detokenize - -o again.mp4
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional

from videolavit.commands._shared.console import StageBars
from videolavit.commands._shared.generation_options import VideoOptions
from videolavit.commands._shared.model_options import ModelOptions, open_model
from videolavit.commands._shared.report import write
from videolavit.commands._shared.result_files import VideoFile
from videolavit.commands._shared.token_file import naming, read_tokens

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit detokenize`."""

    file: Annotated[str, Positional]
    """File with tokens, or - for stdin."""
    result: Annotated[VideoFile, OmitArgPrefixes] = field(default_factory=VideoFile)
    detokenizer: Literal["diffusion", "warp"] = "diffusion"
    """Method that turns a keyframe and its motion into frames."""
    generation: Annotated[VideoOptions, OmitArgPrefixes] = field(default_factory=VideoOptions)
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Decode, write, and say what was written."""
    output = config.result.path("tokens" if config.file == "-" else Path(config.file).stem, ".mp4", config.file)
    tokens = read_tokens(config.file)
    model = open_model(config.model)
    with StageBars(quiet=config.json) as progress, naming(config.file):
        video = model.detokenize(
            tokens, detokenizer=config.detokenizer, progress=progress, **config.generation.changes()
        )
    write(video, output, json=config.json, fps=config.result.fps, source=config.file)
    return 0
