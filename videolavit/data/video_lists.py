"""Videos and what is said about them: from a folder, or from a CSV, TSV, JSONL or JSON file.

    folder       every video in it and below; `name.txt` beside `name.mp4` holds its captions, one in a line
    CSV, TSV     a header with `path` and any of `caption`, `question`, `answer`; rows with the same path are one video
    JSONL, JSON  {"path": .., "captions": [..], "questions": [["question", "answer"], ..]} in a line or in a list, or
                 LLaVA's {"video": .., "conversations": [{"from": "human", "value": ".."}, {"from": "gpt", ..}]}

Paths are relative to the file that names them. A word is never lost: what cannot be read is an error that names file
and line, and files of a folder that are neither videos nor captions are told.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from videolavit.data.conversations import turns
from videolavit.data.text_files import check_text, read_text, split_lines
from videolavit.errors import MediaError
from videolavit.video.io.sources import local_path

__all__ = ["VIDEO_EXTENSIONS", "NamedVideo", "named_videos"]

logger = logging.getLogger(__name__)

VIDEO_EXTENSIONS = frozenset(
    {
        *(".3g2", ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".gif", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov"),
        *(".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogm", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv"),
    }
)
_CSV, _JSON_LINES, _JSON = (".csv", ".tsv"), (".jsonl", ".ndjson"), (".json",)
_COLUMNS = ("path", "caption", "question", "answer")
_OTHER_NAMES = {"video": "path", "captions": "caption"}
_DELIMITERS = (",", ";", "\t", "|")
_LONGEST_FIELD = 2**30


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedVideo:
    """A video file and what is said about it."""

    path: Path
    captions: tuple[str, ...] = ()
    questions: tuple[tuple[str, str], ...] = ()
    """(question, answer)."""


def named_videos(source: Path | str) -> list[NamedVideo]:
    """The videos of a folder, or those that a list names, each once.

    Raises:
        MediaError: there is no such folder or file, it names no video, or a line of it makes no sense.
    """
    _listing.cache_clear()  # files may have come since
    source = Path(local_path(source))
    if source.is_dir():
        found = _in_folder(source)
    elif not source.is_file():
        raise MediaError(f"{source}: no such file or folder; give a folder of videos, a .csv, .tsv, .jsonl or .json")
    elif source.suffix.lower() in _CSV:
        found = _merged(_in_csv(source))
    elif source.suffix.lower() in _JSON_LINES + _JSON:
        found = _merged(_in_json(source))
    else:
        raise MediaError(f"{source}: is neither a folder nor a .csv, .tsv, .jsonl or .json file that names videos")
    if not found:
        raise MediaError(f"{source}: names no video; folders are searched for {', '.join(sorted(VIDEO_EXTENSIONS))}")
    return found


@dataclass(kw_only=True, slots=True)
class _Said:
    """Captions and questions of one video so far."""

    path: Path
    captions: dict[str, None] = field(default_factory=dict)
    questions: list[tuple[str, str]] = field(default_factory=list)


def _merged(said: Iterable[NamedVideo]) -> list[NamedVideo]:
    """Each video once, at its first place, with all that any line says of it; the same caption counts once."""
    found: dict[str, _Said] = {}
    for one in said:
        video = found.setdefault(os.path.abspath(one.path), _Said(path=one.path))
        video.captions.update(dict.fromkeys(one.captions))
        video.questions += one.questions
    return [
        NamedVideo(path=one.path, captions=tuple(one.captions), questions=tuple(one.questions))
        for one in found.values()
    ]


# Folders


def _in_folder(folder: Path) -> list[NamedVideo]:
    files = [path for path in sorted(folder.rglob("*")) if not _is_hidden(path, folder) and path.is_file()]
    videos = [path for path in files if path.suffix.lower() in VIDEO_EXTENSIONS]
    words = {_key(path.with_suffix("")): path for path in files if path.suffix.lower() == ".txt"}
    used: set[Path] = set()
    found = []
    for path in videos:
        beside = words.get(_key(path.with_suffix(""))) or words.get(_key(path))
        if beside is not None:
            used.add(beside)
        found.append(NamedVideo(path=path, captions=_caption_lines(beside)))
    if left_out := [path for path in files if path not in used and path.suffix.lower() not in VIDEO_EXTENSIONS]:
        shown = ", ".join(path.relative_to(folder).as_posix() for path in left_out[:5])
        more = f" and {len(left_out) - 5} more" if len(left_out) > 5 else ""
        logger.warning("%s: left out, neither videos nor captions of one: %s%s", folder, shown, more)
    return found


def _is_hidden(path: Path, folder: Path) -> bool:
    """Of the system: `._name.mp4`, which macOS puts beside every file on foreign disks, or what lies in `.git`."""
    parts = path.relative_to(folder).parts
    return any(part.startswith(".") or part in ("__MACOSX", "@eaDir", "$RECYCLE.BIN") for part in parts)


def _key(path: Path) -> str:
    """A name as people read it: without regard to case and to how accents are composed."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _caption_lines(path: Path | None) -> tuple[str, ...]:
    lines = [] if path is None else split_lines(read_text(path))
    return tuple(line.strip() for line in lines if line.strip())


# CSV and TSV


def _in_csv(source: Path) -> Iterator[NamedVideo]:
    text = read_text(source)
    delimiter = _delimiter(source, text)
    csv.field_size_limit(_LONGEST_FIELD)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    first = 1
    try:
        columns = [_column(name) for name in next(rows, [])]
        if columns.count("path") != 1 or set(columns) - set(_COLUMNS):
            raise MediaError(f"{source}: has the columns {columns}, expected path and any of {_COLUMNS[1:]}")
        first = rows.line_num + 1
        for row in rows:
            if any(cell.strip() for cell in row):
                yield _of_row(source, first, columns, row)
            first = rows.line_num + 1
    except csv.Error as error:
        raise MediaError(
            f"{source}, line {first}: {error}; a text with commas, quotes or line ends stands between quotes, and a "
            'quote within it is doubled ("")'
        ) from error


def _of_row(source: Path, line: int, columns: list[str], row: list[str]) -> NamedVideo:
    if len(row) > len(columns):
        raise MediaError(
            f"{source}, line {line}: has {len(row)} fields, the header has {len(columns)}; put texts that contain the "
            "separator between quotes"
        )
    try:
        cells = [(name, check_text(cell).strip()) for name, cell in zip(columns, row, strict=False)]
    except ValueError as error:
        raise MediaError(f"{source}, line {line}: {error}") from error
    values = {name: [cell for column, cell in cells if column == name and cell] for name in _COLUMNS}
    if not values["path"] or len(values["question"]) != len(values["answer"]):
        shown = {name: " / ".join(values[name]) for name in _COLUMNS}
        raise MediaError(f"{source}, line {line}: needs a path, and question and answer only together; got {shown}")
    return NamedVideo(
        path=_path(source, line, values["path"][0]),
        captions=tuple(values["caption"]),
        questions=tuple(zip(values["question"], values["answer"], strict=True)),
    )


def _column(name: str) -> str:
    name = name.strip().lower()
    return _OTHER_NAMES.get(name, name)


def _delimiter(source: Path, text: str) -> str:
    """The character that cuts the header into columns, `path` among them; people's programs write four of them."""
    header = split_lines(text)[0]
    if source.suffix.lower() == ".tsv":
        return "\t"
    for delimiter in _DELIMITERS:
        names = next(csv.reader([header], delimiter=delimiter), [])
        if len(names) > 1 and "path" in map(_column, names):
            return delimiter
    return ","


# JSON


def _in_json(source: Path) -> Iterator[NamedVideo]:
    text = read_text(source)
    is_list = source.suffix.lower() in _JSON or text.lstrip().startswith("[")
    for where, values in _items_of_list(source, text) if is_list else _items_of_lines(source, text):
        try:
            yield _of_json(values, source, where)
        except (ValueError, TypeError, KeyError) as error:
            if isinstance(error, MediaError):
                raise
            raise MediaError(
                f"{source}, {where}: {error}; expected an object with path and, if you like, captions (texts) and "
                "questions (pairs of question and answer), or with video and conversations"
            ) from error


def _items_of_lines(source: Path, text: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(split_lines(text), start=1):
        if line.strip():
            yield f"line {number}", _parsed(source, f"line {number}", line)


def _items_of_list(source: Path, text: str) -> Iterator[tuple[str, Any]]:
    values = _parsed(source, "line 1", text)
    for number, value in enumerate(values if isinstance(values, list) else [values], start=1):
        yield f"entry {number}", value


def _parsed(source: Path, where: str, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise MediaError(f"{source}, {where}: is not JSON: {error}; every line holds one whole object") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(
            f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice in one object"
        )
    return values


def _of_json(values: Any, source: Path, where: str) -> NamedVideo:
    if isinstance(values, dict) and "video" in values and "path" not in values:
        values = {("path" if name == "video" else name): value for name, value in values.items()}
    if not isinstance(values, dict) or not isinstance(values.get("path"), str) or not values["path"]:
        hint = ", but an image; name videos" if isinstance(values, dict) and "image" in values else ""
        raise ValueError(f"no path{hint}")
    known = {"path", "id", "caption", "captions", "question", "answer", "questions", "conversations", "messages"}
    if unknown := set(values) - known:
        raise ValueError(f"unknown keys {sorted(unknown)}")
    return NamedVideo(
        path=_path(source, where, values["path"]), captions=_captions(values), questions=tuple(_questions(values))
    )


def _captions(values: dict[str, Any]) -> tuple[str, ...]:
    several = values.get("captions") or []
    if not isinstance(several, list):
        raise ValueError("captions must be texts in a list")
    one = [values["caption"]] if values.get("caption") is not None else []
    return tuple(text.strip() for text in map(check_text, [*one, *several]) if text.strip())


def _questions(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if ("question" in values) != ("answer" in values):
        raise ValueError("question and answer come only together")
    if "question" in values:
        yield check_text(values["question"]), check_text(values["answer"])
    pairs = values.get("questions") or []
    if not isinstance(pairs, list) or not all(isinstance(pair, list | dict) for pair in pairs):
        raise ValueError(f"questions are {pairs!r}, expected a list of [question, answer]")
    for pair in pairs:
        question, answer = (pair["question"], pair["answer"]) if isinstance(pair, dict) else pair
        yield check_text(question), check_text(answer)
    for name in ("conversations", "messages"):
        yield from turns(values.get(name) or [])


# Paths


def _path(source: Path, where: str | int, name: str) -> Path:
    """A path as a list means it: relative to the list, and found though case, accents or slashes differ."""
    where = f"line {where}" if isinstance(where, int) else where
    try:
        path = source.parent / local_path(name)
    except MediaError as error:
        raise MediaError(f"{source}, {where}: {error}") from error
    for candidate in (path, source.parent / name.replace("\\", "/")):
        if candidate.exists():
            return candidate
        alike = _alike(candidate, source.parent)
        if len(alike) > 1:
            names = ", ".join(one.name for one in alike)
            raise MediaError(f"{source}, {where}: {name}: no such file, and several are alike: {names}")
        if alike:
            return alike[0]
    return path  # that it is missing is told where it is read


def _alike(path: Path, folder: Path) -> list[Path]:
    """Files whose names read like the last parts of `path`, folder by folder below `folder`."""
    try:
        parts = path.relative_to(folder).parts
    except ValueError:
        folder, parts = path.parent, (path.name,)
    places = [folder]
    for part in parts:
        key = unicodedata.normalize("NFC", part).casefold()
        places = [place / name for place in places for name in _listing(place).get(key, ())]
    return places


@lru_cache(maxsize=64)
def _listing(folder: Path) -> dict[str, list[str]]:
    """Names in a folder by how they read."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        found.setdefault(unicodedata.normalize("NFC", path.name).casefold(), []).append(path.name)
    return found
