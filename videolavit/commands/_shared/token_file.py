"""Files that hold tokens as text, as commands read them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videolavit.errors import MediaError, PromptError, ShapeError, VocabularyError
from videolavit.video.io.sources import local_path

if TYPE_CHECKING:
    from videolavit.clip_tokens import ClipTokens

__all__ = ["TOKENS", "holds_tokens", "naming", "read_noted_tokens", "read_tokens"]

TOKENS = (".txt",)
"""Their extension."""

MOST_BYTES = 64 * 2**20
"""Some hours of video."""


def holds_tokens(file: str) -> bool:
    """True if a file has tokens, by its name."""
    return file == "-" or Path(file).suffix.lower() in TOKENS


def read_tokens(file: str) -> list[ClipTokens]:
    """The clips that a file, or stdin for `-`, writes down.

    Raises:
        MediaError: it cannot be read, or is no text.
        PromptError: a line is something else.
    """
    return read_noted_tokens(file)[0]


def read_noted_tokens(file: str) -> tuple[list[ClipTokens], dict[str, Any]]:
    """The clips of `read_tokens`, and the note on what they were made from; empty where it says nothing."""
    from videolavit.pipeline.token_text import parse_tokens, read_note

    text = _text(file)  # once: a pipe gives it a single time
    try:
        return list(parse_tokens(text)), read_note(text)
    except PromptError as error:
        raise PromptError(f"{file}: {error}") from error


@contextmanager
def naming(*files: str | None) -> Iterator[None]:
    """Put the name of the file of tokens before what a model says of one of its lines."""
    try:
        yield
    except (ShapeError, VocabularyError) as error:
        named = [file for file in files if file is not None and holds_tokens(file)]
        if not named or not str(error).startswith("line "):
            raise
        raise type(error)(f"{' or '.join(named)}: {error}") from error


def _text(file: str) -> str:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with Path(local_path(file)).open("rb") as opened:
                data = opened.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise MediaError(f"{file}: is larger than the {MOST_BYTES} bytes that tokens may take")
        return data.decode("utf-8-sig")  # some editors begin a text with a mark
    except UnicodeDecodeError as error:
        hint = "; a video or an image needs a file" if file == "-" else ""
        raise MediaError(f"{file}: is no text; expected what `videolavit tokenize` writes{hint}") from error
    except FileNotFoundError as error:
        raise MediaError(f"{file}: no such file; relative paths start at {os.getcwd()!r}") from error
    except OSError as error:
        raise MediaError(f"{file}: cannot be read: {error.strerror}") from error
