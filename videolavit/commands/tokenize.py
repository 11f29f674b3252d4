"""Turn an image or a video into tokens, as text that can be read, stored and edited.

Each clip is one line: the codes of its keyframe behind K, if it has one, and those of its motion
behind M. The text goes to stdout, or into a file with the extension .txt; `videolavit detokenize` decodes it.

examples:
  videolavit tokenize video.mp4
  videolavit tokenize video.mp4 -o tokens.txt --keyframes adaptive
  videolavit tokenize image.png --json
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from videolavit.commands._shared.clip_options import refuse_pipe
from videolavit.commands._shared.console import StageBars, print_json, tell_written
from videolavit.commands._shared.model_options import ModelOptions, open_model
from videolavit.commands._shared.paths import check_free, check_target
from videolavit.commands._shared.result_files import STDOUT
from videolavit.commands._shared.token_file import TOKENS
from videolavit.errors import ConfigError

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit tokenize`."""

    file: Annotated[str, Positional]
    """Image or video."""
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FILE")] = None
    """File for the tokens; by default, and for -, stdout."""
    force: Annotated[bool, arg(aliases=["-f"])] = False
    """Replace a file that exists."""
    keyframes: Literal["every", "adaptive"] | None = None
    """Adaptive: a clip that motion explains from the one before has motion alone. By default what the model knows."""
    motion_layers: int = 1
    """Layers of motion codes: further ones make motion finer, for motion tokenizers that have them."""
    seed: int = 0
    """For models that choose by chance which parts of an image to look at."""
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Tokenize, and write or print."""
    to_file = config.output is not None and config.output != STDOUT
    if config.force and not to_file:
        raise ConfigError("-f is about a file of tokens; name it with -o, or leave -f out")
    if config.output is not None and to_file:
        check_target(config.output, config.file, extensions=TOKENS)
        check_free(config.output, force=config.force)
    refuse_pipe(config.file)
    from videolavit.pipeline.media import is_still

    if is_image := is_still(config.file):
        _refuse_motion(config)
    model = open_model(config.model)
    with StageBars(quiet=config.json) as progress:
        if is_image:
            tokens = model.tokenize(image=config.file, seed=config.seed, progress=progress)
        else:
            tokens = model.tokenize(
                video=config.file,
                keyframes=config.keyframes,
                motion_layers=config.motion_layers,
                seed=config.seed,
                progress=progress,
            )
    output = config.output if to_file else None
    if output is not None:
        tokens.save(output)
    if config.json:
        facts = {"output": None if output is None else str(output), "text": tokens.text}
        print_json({**facts, "ids": tokens.ids.tolist(), "metadata": tokens.metadata})
    elif output is None:
        print(tokens.text.rstrip("\n"))
    else:
        clips = f"{len(tokens)} clip{'s' if len(tokens) != 1 else ''}"
        tell_written(f"{output}: {clips}, {len(tokens.ids)} ids")
    return 0


def _refuse_motion(config: Config) -> None:
    """Refuse options that an image has no motion for."""
    for option, given in {
        "--motion-layers": config.motion_layers != 1,
        "--keyframes adaptive": config.keyframes == "adaptive",
    }.items():
        if given:
            raise ConfigError(f"{option}: {config.file} is an image, which has no motion; leave it out")
