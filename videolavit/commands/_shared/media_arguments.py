"""Images and videos among a person's words: which words are files, and of which kind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from videolavit.commands._shared.memories import is_memory_folder
from videolavit.errors import MediaError

__all__ = ["Shown", "find_media", "media_file"]

_WORD = re.compile(r"""'[^']*'\S?|"[^"]*"\S?|(?:\\.|\S)+""")
_MARKS = "?!.,;:)"
_MEDIA = re.compile(
    r"[^/]\.(png|jpe?g|webp|bmp|tiff?|mp4|m4v|mov|mkv|webm|avi|gif|mpe?g|ogv|wmv|flv|3gp|ts)$", re.IGNORECASE
)
"""Ends of names."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A line without the names of files in it, and these files."""

    text: str
    images: tuple[str, ...] = ()
    videos: tuple[str, ...] = ()


def find_media(line: str) -> Shown:
    """Take names of images and videos out of a line; within a sentence "the image" stands in their place.

    Words are names if they end like those of images and videos. A name with spaces is quoted, or has a backslash
    before each, as terminals write files that are dragged into them. A folder is a name if it is a memory of a video
    and is written with a slash, as in `./film`.

    Raises:
        MediaError: a word ends as names of images and videos do, and there is no such file.
    """
    words: list[str] = []
    files: dict[str, list[str]] = {"image": [], "video": []}
    for match in _WORD.finditer(line):
        name, marks = _file(match[0])
        if name is None:
            words.append(match[0])
            continue
        kind = _kind(name)
        files[kind].append(name)
        words += _in_its_place(words, kind, marks)
    return Shown(" ".join(words), tuple(files["image"]), tuple(files["video"]))


def media_file(name: str) -> Shown:
    """A file that is an image or a video, whatever its name, or a memory of a video.

    Raises:
        MediaError: there is no such file.
    """
    if is_memory_folder(name):
        return Shown("", (), (name,))
    if not _exists(name):
        is_folder = Path(name).expanduser().is_dir()
        what = "is a folder, and no memory that `videolavit remember` made" if is_folder else "no such file"
        raise MediaError(f"{name}: {what}")
    return Shown("", (name,)) if _kind(name) == "image" else Shown("", (), (name,))


def _kind(name: str) -> str:
    if is_memory_folder(name):
        return "video"
    from videolavit.pipeline.media import is_still

    return "image" if is_still(name) else "video"


def _file(word: str) -> tuple[str | None, str]:
    """The file that a word names, None for other words, and the marks behind it."""
    bare = word.rstrip(_MARKS)
    name = bare[1:-1] if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "'\"" else bare
    if "/" in name and is_memory_folder(name):
        return str(Path(name).expanduser()), word[len(bare) :]
    if not _MEDIA.search(name):
        return None, ""
    for path in (name, re.sub(r"\\(.)", r"\1", name)):
        if _exists(path):
            return str(Path(path).expanduser()), word[len(bare) :]
    raise MediaError(f"{name}: no such file; quote a name that has spaces")


def _exists(name: str) -> bool:
    try:
        return Path(name).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # too long for a name, or nobody's home
        return False


def _in_its_place(words: Sequence[str], kind: str, marks: str) -> list[str]:
    """Words of a sentence in place of a file: nothing before it begins and after it has ended."""
    if not words or words[-1][-1:] in ".?!:":
        return []
    return [kind + marks] if words[-1].lower() in ("the", "this", "that", "my") else [f"the {kind}{marks}"]
