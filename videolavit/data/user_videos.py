"""One's own videos to train on: a folder, or a CSV or JSONL file of paths, captions, questions and answers.

    folder   every video in it and below; `name.txt` beside `name.mp4` holds its captions, one in a line
    CSV      a header with `path` and any of `caption`, `question`, `answer`; rows with the same path are one video
    JSONL    {"path": .., "captions": [..], "questions": [["question", "answer"], ..]} in a line

Paths are relative to the file that names them. A long video is cut into pieces of a few clips; each has the words of
the whole. A piece with a cut in it is left out: its motion would be that of two shots.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from videolavit.data.prepare_videos import video_record
from videolavit.data.shards import Record
from videolavit.errors import ConfigError, MediaError
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.io.pixels import resize_image
from videolavit.video.processor import VideoProcessorConfig

__all__ = ["NamedVideo", "named_videos", "video_file_records"]

VIDEO_EXTENSIONS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".gif", ".wmv"})
_COLUMNS = ("path", "caption", "question", "answer")


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedVideo:
    """A video file and what is said about it."""

    path: Path
    captions: tuple[str, ...] = ()
    questions: tuple[tuple[str, str], ...] = ()
    """(question, answer)."""


def named_videos(source: Path) -> list[NamedVideo]:
    """The videos of a folder, or those that a CSV or JSONL file names, each once.

    Raises:
        MediaError: there is no such folder or file, it names no video, or a line of it makes no sense.
    """
    if source.is_dir():
        found = _in_folder(source)
    elif not source.is_file():
        raise MediaError(f"{source}: no such file or folder; give a folder of videos, a .csv or a .jsonl")
    elif source.suffix.lower() == ".csv":
        found = _in_csv(source)
    elif source.suffix.lower() in (".jsonl", ".ndjson"):
        found = _in_jsonl(source)
    else:
        raise MediaError(f"{source}: is neither a folder nor a .csv or .jsonl file that names videos")
    if not found:
        raise MediaError(f"{source}: names no video; folders are searched for {', '.join(sorted(VIDEO_EXTENSIONS))}")
    return found


def video_file_records(
    video: NamedVideo, video_processor: VideoProcessorConfig, *, clips_per_piece: int = 1
) -> Iterator[Record]:
    """A video, piece by piece; what does not fill a piece at its end is left out.

    Raises:
        MediaError: the file cannot be read as a video.
        ConfigError: a piece has less than one clip, or the front end no size.
    """
    if clips_per_piece < 1:
        raise ConfigError(f"got pieces of {clips_per_piece} clips, expected at least 1")
    if video_processor.motion_size is None:
        raise ConfigError("samples to train on must be of one size; give the front end's height and width")
    length, size = video_processor.frames_per_clip * clips_per_piece, video_processor.motion_size
    fps = Fraction(video_processor.fps).limit_denominator(1000)
    with closing(images_on_ticks(str(video.path), fps=fps)) as images:
        enlarged = (resize_image(image, *size) for image in images)
        for piece in itertools.count():
            frames = list(itertools.islice(enlarged, length))
            if len(frames) < length:
                return
            if (record := video_record(np.stack(frames), video_processor)) is not None:
                source = {"path": video.path.name, "start_seconds": float(piece * length / fps)}
                questions = tuple((question, answer, "") for question, answer in video.questions)
                yield replace(
                    record,
                    captions=video.captions,
                    image_captions=video.captions,
                    questions=questions,
                    about_image=(False,) * len(questions),
                    source=source,
                )


def _in_folder(folder: Path) -> list[NamedVideo]:
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in VIDEO_EXTENSIONS and path.is_file():
            words = path.with_suffix(".txt")
            lines = words.read_text(encoding="utf-8").splitlines() if words.is_file() else []
            captions = tuple(line.strip() for line in lines if line.strip())
            found.append(NamedVideo(path=path, captions=captions))
    return found


def _in_csv(source: Path) -> list[NamedVideo]:
    with source.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = set(reader.fieldnames or ())
        if "path" not in columns or columns - set(_COLUMNS):
            raise MediaError(f"{source}: has the columns {sorted(columns)}, expected path and any of {_COLUMNS[1:]}")
        rows = [(reader.line_num, {name: (row.get(name) or "").strip() for name in _COLUMNS}) for row in reader]
    found: dict[str, NamedVideo] = {}
    for line, row in rows:
        if not row["path"] or bool(row["question"]) != bool(row["answer"]):
            raise MediaError(f"{source}, line {line}: needs a path, and question and answer only together; got {row}")
        video = found.get(row["path"], NamedVideo(path=source.parent / row["path"]))
        captions = [*video.captions, row["caption"]] if row["caption"] else video.captions
        asked = ((row["question"], row["answer"]),) if row["question"] else ()
        found[row["path"]] = replace(
            video, captions=tuple(dict.fromkeys(captions)), questions=(*video.questions, *asked)
        )
    return list(found.values())


def _in_jsonl(source: Path) -> list[NamedVideo]:
    found: dict[Path, NamedVideo] = {}
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            try:
                video = _of_json(json.loads(line), source.parent)
            except (ValueError, TypeError, KeyError) as error:
                raise MediaError(
                    f"{source}, line {number}: {error}; expected an object with path and, if you like, captions "
                    "(texts) and questions (pairs of question and answer)"
                ) from error
            found[video.path] = video
    return list(found.values())


def _of_json(values: Any, folder: Path) -> NamedVideo:
    if not isinstance(values, dict) or not isinstance(values.get("path"), str):
        raise ValueError("no path")
    if unknown := set(values) - {"path", "caption", "captions", "questions"}:
        raise ValueError(f"unknown keys {sorted(unknown)}")
    captions = [values["caption"]] if "caption" in values else values.get("captions", [])
    questions = [(question, answer) for question, answer in values.get("questions", [])]
    texts = [*captions, *itertools.chain(*questions)]
    if isinstance(captions, str) or not all(isinstance(text, str) for text in texts):
        raise ValueError("captions, questions and answers must be texts")
    return NamedVideo(path=folder / values["path"], captions=tuple(captions), questions=tuple(questions))
