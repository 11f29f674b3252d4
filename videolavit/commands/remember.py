"""Read a long video into a memory, to ask about it.

A memory is a folder: for each clip of 4 seconds what the model sees of it, its time, words that
find it again, and a small image. `answer` and `chat` take it in place of a video. Ctrl-C keeps what
was read, and the same command goes on there, without --append; a live stream that is piped in
again wants --append.

examples:
  videolavit remember film.mp4 -o film-memory
  videolavit answer "Which way does the star move?" --video film-memory
  videolavit remember part2.mp4 -o film-memory --append
  ffmpeg -i rtsp://camera -f matroska - | videolavit remember - -o today --append
  videolavit remember --camera /dev/video0 -o today
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from videolavit.commands._shared.console import StageBars, is_quiet, print_json, printable, readable_size
from videolavit.commands._shared.model_options import ModelOptions, open_model
from videolavit.errors import ConfigError

if TYPE_CHECKING:
    from videolavit.memory.token_memory import TokenMemory

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit remember`."""

    video: Annotated[str, Positional, arg(metavar="[VIDEO]")] = ""
    """File to read, or - for stdin."""
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER")] = None
    """The memory: a new folder, or one to go on with."""
    camera: Annotated[str | None, arg(metavar="DEVICE")] = None
    """Read a camera in place of a file, such as /dev/video0, until Ctrl-C."""
    append: bool = False
    """Add all of the video behind what the memory holds, as is always done with a camera."""
    ask: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="QUESTION")] = ()
    """A question that each clip is asked; a later question finds clips by the answers. May be repeated. By default the
    model describes each clip freely."""
    no_words: bool = False
    """Note nothing about clips: quicker, for --scorer likelihood or an image-text encoder."""
    no_images: bool = False
    """Keep no small images of keyframes."""
    keyframes: Literal["every", "adaptive"] | None = None
    """Adaptive: no keyframe where motion explains a clip from the one before, for models that were trained so, which
    then is their default."""
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Read to the end, and say what is remembered."""
    if config.output is None:
        raise ConfigError("name the folder of the memory with -o FOLDER")
    if (config.camera is None) == (not config.video):
        raise ConfigError("name one video, - for stdin, or a camera with --camera DEVICE")
    if config.no_words and config.ask:
        raise ConfigError("--no-words and --ask are opposites; leave one out")
    model, started = open_model(config.model), time.monotonic()
    with StageBars(quiet=config.json) as progress:
        try:
            memory = model.remember(
                _source(config),
                config.output,
                append=config.append or config.camera is not None,  # what a camera shows now was not read before
                ask=config.ask,
                describe=not config.no_words,
                images=not config.no_images,
                keyframes=config.keyframes,
                progress=progress,
            )
        except KeyboardInterrupt:
            if config.camera is None:
                raise
            from videolavit.memory.token_memory import TokenMemory

            memory = TokenMemory(config.output)
    _tell(config, memory, time.monotonic() - started)
    return 0


def _source(config: Config) -> Any:
    if config.camera is not None:
        from videolavit.video.io.camera import camera_frames

        return camera_frames(config.camera)
    return sys.stdin.buffer if config.video == "-" else config.video


def _tell(config: Config, memory: TokenMemory, took: float) -> None:
    keyframes, motion = memory.lengths()
    facts = {"num_clips": len(memory), "video_seconds": memory.seconds, "num_ids": int((keyframes + motion).sum())}
    num_bytes = sum(path.stat().st_size for path in memory.folder.iterdir() if path.is_file())
    if config.json:
        print_json({"output": str(config.output), **facts, "num_bytes": num_bytes, "seconds": took})
    elif not is_quiet():
        clips = f"{len(memory)} clips, {memory.seconds:.0f} s of video, {facts['num_ids']} ids"
        print(printable(f"{config.output}: {clips}, {readable_size(num_bytes)} in {took:.1f} s"))
