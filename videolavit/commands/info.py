"""Tell what a file of a video, an image or tokens holds, without taking it apart; or what a model knows.

A file that this package wrote also tells what it was made from: the prompt, the seed, the model
and the options. Of a model, which is a folder or the name tiny, its parts are told, and the words
that it was trained on, where they are few; of a memory of a long video its clips, what was read,
and by which model.

examples:
  videolavit info video.mp4
  videolavit info video.mp4 --json
  videolavit info video.mp4 --image-types
  videolavit info tokens.txt
  videolavit info tiny
  videolavit info film-memory
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional

from videolavit.commands._shared.console import print_json, printable, readable_size, sign_of_life
from videolavit.commands._shared.image_info import ImageInfo, look_at_image
from videolavit.commands._shared.memories import is_memory_folder
from videolavit.commands._shared.memory_info import look_at_memory
from videolavit.commands._shared.model_info import ModelInfo, look_at_model, model_folder
from videolavit.commands._shared.token_file import TOKENS, read_noted_tokens
from videolavit.errors import ConfigError, MediaError
from videolavit.video import Limits, VideoInfo, probe
from videolavit.video.io.write import read_metadata

__all__ = ["Config", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Options of `videolavit info`."""

    file: Annotated[str, Positional]
    """Video, image or tokens (.txt) to look at, or a model, or a memory that `videolavit remember` made."""
    json: bool = False
    """Print one JSON document on stdout."""
    image_types: bool = False
    """Decode all of it to tell the type of every image: I, P or B."""
    limits: Annotated[Limits, OmitArgPrefixes] = field(default_factory=Limits)


def run(config: Config) -> int:
    """Print what the file holds, and what it says about itself."""
    path = Path(config.file)
    model = model_folder(config.file)
    image = look_at_image(path, config.limits) if model is None and path.is_file() else None
    if config.image_types and (model or image or is_memory_folder(config.file) or path.suffix.lower() in TOKENS):
        raise ConfigError(f"{config.file} is no video; --image-types is for those")
    if model is not None:
        return _tell_of_model(config, look_at_model(model))
    if is_memory_folder(config.file):
        return _tell_of_memory(config)
    if path.suffix.lower() in TOKENS:
        return _tell_of_tokens(config)
    info = image or probe(config.file, limits=config.limits, image_types=config.image_types)
    num_bytes = path.stat().st_size if path.is_file() else None  # A pipe has none, and cannot be read a second time.
    made = {} if num_bytes is None else _own_metadata(path)
    if config.json:
        print_json({**info.as_dict(), "num_bytes": num_bytes, "metadata": made})
        return 0
    lines = info.lines(num_bytes) if isinstance(info, ImageInfo) else _lines(info, num_bytes)
    _show(config.file, itertools.chain(lines, _made_lines(made)))
    return 0


def _tell_of_tokens(config: Config) -> int:
    clips, made = read_noted_tokens(config.file)
    keyframes, motion = (list(counts) for counts in zip(*(clip.num_codes for clip in clips), strict=True))
    if config.json:
        print_json({"source": config.file, "keyframe_codes": keyframes, "motion_codes": motion, "metadata": made})
        return 0
    lines = [
        ("file", f"tokens, {readable_size(Path(config.file).stat().st_size)}"),
        ("clips", str(len(clips))),
        ("codes", f"{_total(keyframes)} of keyframes, {_total(motion)} of motion"),
    ]
    _show(config.file, itertools.chain(lines, _made_lines(made)))
    return 0


def _tell_of_model(config: Config, info: ModelInfo) -> int:
    if config.json:
        print_json({"source": config.file, **info.as_dict()})
        return 0
    _show(config.file, info.lines())
    return 0


def _tell_of_memory(config: Config) -> int:
    with sign_of_life("read the memory"):
        info = look_at_memory(config.file)
    if config.json:
        print_json({"source": config.file, **info.as_dict()})
        return 0
    _show(config.file, itertools.chain(info.lines(), _made_lines(info.metadata)))
    return 0


def _total(counts: list[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{' + '.join(map(str, counts))} = {sum(counts)}"


def _show(file: str, lines: Iterable[tuple[str, str]]) -> None:
    print(printable(file))
    for name, value in lines:
        print(f"  {printable(name):11} {printable(value)}")


def _own_metadata(file: Path) -> dict[str, Any]:
    """Metadata that this package wrote into the file; empty for any other file."""
    try:
        made = read_metadata(file)
    except MediaError:
        return {}
    return made if str(made.get("made_by", "")).startswith("videolavit") else {}


def _made_lines(made: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Lines of text, the most wanted ones first; without empty ones."""
    first = [name for name in ("made_by", "task", "prompt", "seed", "model", "model_hash") if name in made]
    for name in dict.fromkeys([*first, *made]):
        if text := _plain(made[name]):
            yield name.replace("_", " "), text


def _plain(value: Any) -> str:
    """Names and values in a row; an object within an object stands in brackets, items of a list behind semicolons."""
    if isinstance(value, list):
        return "; ".join(map(_plain, value))
    if not isinstance(value, dict):
        return "" if value is None else str(value)
    parts = {name: f"({_plain(part)})" if isinstance(part, dict) else _plain(part) for name, part in value.items()}
    return ", ".join(f"{name} {part}" for name, part in parts.items() if part)


def _lines(info: VideoInfo, num_bytes: int | None) -> Iterator[tuple[str, str]]:
    yield "file", f"{info.container}, {'from a pipe' if num_bytes is None else readable_size(num_bytes)}"
    yield "codec", f"{info.codec}{f' ({info.profile})' if info.profile else ''}, {info.pixel_format}"
    yield "image", _image(info)
    yield "time", ", ".join(_times(info))
    yield "colour", f"{info.color_range} range, {info.color_space}"
    yield "streams", f"{info.num_video_streams} video, {'with' if info.has_audio else 'no'} audio"
    if info.image_types is not None:
        counts = ", ".join(f"{info.image_types.count(letter)} {letter}" for letter in sorted(set(info.image_types)))
        yield "images", f"{counts}: {info.image_types}"


def _image(info: VideoInfo) -> str:
    size = f"{info.width} x {info.height}"
    if info.rotation_degrees:
        size += f", stored as {info.coded_width} x {info.coded_height} and turned {info.rotation_degrees}° clockwise"
    return size


def _times(info: VideoInfo) -> Iterator[str]:
    yield "duration unknown" if info.duration_seconds is None else f"{info.duration_seconds:.2f} s"
    if info.frame_rate is not None:
        yield f"{float(info.frame_rate):.4g} frames per second"
    if info.num_frames is not None:
        yield f"{info.num_frames} frames"
