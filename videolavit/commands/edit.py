"""Reverse, slow, hurry, stop, retime or steady a video; or give it other motion, with a model.

The video's own images are edited, at their size and with their sound, and no model is needed:
--reverse, --speed, --retime, --freeze-at, --freeze, --stabilise. Sound keeps its pitch.
A model makes the video anew where the motion itself changes: --motion-of takes the motion of
another video, --scale 2 moves everything twice as far. So it does with --detokenizer, and for
tokens and images; then --reverse and --freeze change the motion of each clip.
The extension of the output names its format: .mp4, .webm, .gif, .webp, or .png for a sheet.

examples:
  videolavit edit video.mp4 -o backwards.mp4 --reverse
  videolavit edit video.mp4 -o slow.mp4 --speed 0.5
  videolavit edit video.mp4 -o retimed.mp4 --retime 0-2:0.5,2-4:2,4-:1
  videolavit edit video.mp4 -o stop.mp4 --freeze-at 3.2 --freeze-for 2
  videolavit edit video.mp4 -o steady.mp4 --stabilise
  videolavit edit image.png -o moving.gif --motion-of video.mp4
  videolavit edit tokens.txt -o still.mp4 --freeze --json
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from videolavit.commands._shared.clip_options import refuse_pipe, refuse_still
from videolavit.commands._shared.console import StageBars, is_quiet, print_json, printable
from videolavit.commands._shared.generation_options import VideoOptions
from videolavit.commands._shared.model_options import ModelOptions, open_model
from videolavit.commands._shared.report import write
from videolavit.commands._shared.result_files import STDOUT, VideoFile
from videolavit.commands._shared.token_file import holds_tokens, naming, read_tokens
from videolavit.errors import ConfigError
from videolavit.pipeline.motion_editing import MotionEdit
from videolavit.video import Limits

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmOptions:
    """Edits of the video's own images."""

    speed: float = 1.0
    """0.5 takes twice as long, 2 half as long."""
    retime: Annotated[str | None, arg(metavar="START-END:SPEED,...")] = None
    """Pieces with a speed each, in seconds of the video; -1 runs backwards, and what is not named is left out."""
    freeze_at: Annotated[float | None, arg(metavar="SECONDS")] = None
    """Stand still at this second of the video."""
    freeze_for: Annotated[float, arg(metavar="SECONDS")] = 1.0
    """For so long."""
    stabilise: Annotated[bool, arg(aliases=["--stabilize"])] = False
    """Take the shake of the camera out and keep its pans; 6 % of each side is cut off."""
    mute: bool = False
    """Leave the sound out."""

    @property
    def given(self) -> list[str]:
        """Options that are not at their defaults."""
        return _given(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit edit`."""

    file: Annotated[str, Positional]
    """Video, file with tokens, or image."""
    result: Annotated[VideoFile, OmitArgPrefixes] = field(default_factory=VideoFile)
    reverse: bool = False
    """Run backwards."""
    freeze: bool = False
    """Keep everything where it is."""
    film: Annotated[FilmOptions, OmitArgPrefixes] = field(default_factory=FilmOptions)
    motion_of: Annotated[str | None, arg(metavar="FILE")] = None
    """Video, or file with tokens, whose motion is taken, with a model."""
    mirror: bool = False
    """Exchange left and right of the motion, with a model."""
    scale: float = 1.0
    """Move everything that many times as far, with a model."""
    keyframe_from: Literal["tokens", "raw"] = "tokens"
    """Decode keyframes from their tokens, or show those of the video."""
    motion_from: Literal["tokens", "raw"] = "tokens"
    """Take the motion from its tokens, or as the video has it."""
    detokenizer: Literal["diffusion", "warp"] | None = None
    """Method that turns a keyframe and its motion into frames; warp moves the keyframe along, without a network. By
    default diffusion, where a model is needed."""
    max_clips: int = 64
    """Clips at most, with a model."""
    limits: Annotated[Limits, OmitArgPrefixes] = field(default_factory=Limits)
    generation: Annotated[VideoOptions, OmitArgPrefixes] = field(default_factory=VideoOptions)
    model: Annotated[ModelOptions, OmitArgPrefixes] = field(default_factory=ModelOptions)
    json: bool = False
    """Print one JSON document on stdout, and nothing else."""


def run(config: Config) -> int:
    """Edit, write, and say what was written."""
    return _with_model(config) if _needs_model(config) else _own_images(config)


def _needs_model(config: Config) -> bool:
    """True if a model makes the result; raises `ConfigError` where the options do not go together."""
    asked = [
        option
        for option, given in {
            "--motion-of": config.motion_of is not None,
            "--mirror": config.mirror,
            "--scale": config.scale != 1,
            "--detokenizer": config.detokenizer is not None,
            "--keyframe-from": config.keyframe_from != "tokens",
            "--motion-from": config.motion_from != "tokens",
            "--model": config.model.model is not None,
            "a file of tokens": holds_tokens(config.file),
        }.items()
        if given
    ]
    film = config.film.given
    if asked and film:
        raise ConfigError(f"{', '.join(film)} edits the video's own images and {asked[0]} makes new ones; choose one")
    if asked and (limits := _given(config.limits)):
        raise ConfigError(f"{limits[0]} is for edits without a model, and {asked[0]} asks for one; leave it out")
    if not asked and (others := _of_a_model(config)):
        raise ConfigError(
            f"{others[0]} is for a model, and this edit needs none; leave it out, or ask for one with --model or "
            "--detokenizer"
        )
    return bool(asked)


def _of_a_model(config: Config) -> list[str]:
    """Options that only a model follows, and that do not ask for one."""
    clips = ["--max-clips"] if config.max_clips != Config(file="").max_clips else []
    return [*_given(config.model), *_given(config.generation), *clips]


def _given(options: Any) -> list[str]:
    """Options of a group that are not at their defaults."""
    usual = type(options)()
    names = [field.name for field in fields(options) if getattr(options, field.name) != getattr(usual, field.name)]
    return ["--" + name.replace("_", "-") for name in names]


def _own_images(config: Config) -> int:
    from videolavit.video.editing.film_edit import FilmEdit, edit_film

    if config.film.freeze_at is None and config.film.freeze_for != FilmOptions().freeze_for:
        raise ConfigError("--freeze-for goes with --freeze-at, which says where the video is to stand still")
    edit = FilmEdit(reverse=config.reverse, freeze=config.freeze, **_values(config.film))
    if edit.changes_nothing:
        raise ConfigError(
            "nothing to change; give --reverse, --speed, --retime, --freeze-at, --stabilise or --motion-of"
        )
    output = config.result.path(f"{Path(config.file).stem} edited", ".mp4", config.file)
    if output == STDOUT:
        raise ConfigError("the edited video needs a file; name one with -o")
    refuse_pipe(config.file)
    refuse_still(config.file, ", and has no motion to edit; --motion-of VIDEO gives it one")
    metadata = {"task": "edit", "source": Path(config.file).name, "edit": _values(edit)}
    with StageBars(quiet=config.json) as progress:
        film = edit_film(
            config.file,
            output,
            edit,
            fps=config.result.fps,
            limits=config.limits,
            metadata=metadata,
            progress=progress,
        )
    if config.json:
        print_json({**_values(film), "path": str(film.path), "seconds": film.seconds})
    elif not is_quiet():
        sound = ", with sound" if film.has_sound else ""
        size = f"{film.num_frames} frames of {film.width} x {film.height}, {film.seconds:.2f} s{sound}"
        print(printable(f"{film.path}: {size}"))
    return 0


def _with_model(config: Config) -> int:
    output = _check_motion(config)
    video = _source(config.file)
    motion_of = None if config.motion_of is None else _source(config.motion_of)
    model = open_model(config.model)
    with StageBars(quiet=config.json) as progress, naming(config.file, config.motion_of):
        edited = model.edit(
            video,
            motion_of=motion_of,
            reverse=config.reverse,
            mirror=config.mirror,
            scale=config.scale,
            freeze=config.freeze,
            keyframe=config.keyframe_from,
            motion=config.motion_from,
            detokenizer=config.detokenizer or "diffusion",
            max_clips=config.max_clips,
            progress=progress,
            **config.generation.changes(),
        )
    write(edited, output, json=config.json, fps=config.result.fps, source=config.file, motion_of=config.motion_of)
    return 0


def _check_motion(config: Config) -> Path:
    edit = MotionEdit(reverse=config.reverse, mirror=config.mirror, scale=config.scale, freeze=config.freeze)
    if edit.changes_nothing and config.motion_of is None:
        raise ConfigError("nothing to change; give --motion-of, --reverse, --mirror, --scale or --freeze")
    stem = f"{'tokens' if config.file == '-' else Path(config.file).stem} edited"
    return config.result.path(stem, ".mp4", config.file, config.motion_of)


def _source(file: str) -> Any:
    """Input of the model for a file."""
    if holds_tokens(file):
        return read_tokens(file)
    refuse_pipe(file)
    return file


def _values(options: Any) -> dict[str, Any]:
    return {name: getattr(options, name) for name in options.__slots__}
