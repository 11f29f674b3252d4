"""Files that appear whole, whoever else writes the same ones, on this machine or on another with the same disk."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path

from videolavit.errors import OutputError

__all__ = [
    "create_once",
    "followed",
    "is_alive",
    "partial_path",
    "remove_abandoned",
    "this_process",
    "unfinished_path",
    "write_text",
]


def this_process() -> str:
    """Name of this process among those of all machines: host and process id."""
    return f"{socket.gethostname().replace('/', '_')}-{os.getpid()}"


def partial_path(path: Path) -> Path:
    """Temporary path of what will be renamed to `path`: hidden, beside it, and of this process alone."""
    return path.with_name(f".{path.name}.{this_process()}.partial")


def followed(path: Path) -> Path:
    """The file or folder that a link points at, which a result replaces while the link stays; other paths as given."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def write_text(path: Path, text: str) -> None:
    """Write a text file that is there whole or as it was before; a link to one keeps pointing at it.

    Raises:
        OutputError: it cannot be written.
    """
    path = followed(path)
    partial = partial_path(path)
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error}; is there space?") from error
    finally:
        partial.unlink(missing_ok=True)


def create_once(path: Path, text: str) -> str:
    """Write a text file if there is none, and return what it holds; of several who try, one writes.

    Raises:
        OSError: it cannot be written or read.
        UnicodeDecodeError: it holds no text.
    """
    if not path.exists():
        partial = partial_path(path)
        try:
            partial.write_text(text, encoding="utf-8")
            with suppress(FileExistsError):
                _link(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    return path.read_text(encoding="utf-8")


def remove_abandoned(path: Path) -> None:
    """Remove partial files of `path` that processes of this machine left behind when they were killed."""
    host = this_process().rpartition("-")[0]
    for partial in path.parent.glob(f".{path.name}*.{host}-*.partial"):
        process = partial.name.removesuffix(".partial").rpartition("-")[2]
        if process.isdigit() and not is_alive(int(process)):
            partial.unlink(missing_ok=True)


def unfinished_path(path: Path) -> Path:
    """Temporary path beside `path`, of its extension and of no other result.

    Such files in the folder that processes of this machine left behind when they were killed are removed.
    """
    ending = f".unfinished{path.suffix.lower()}"
    host = this_process().rpartition("-")[0]
    for other in path.parent.glob(".*.unfinished*"):
        owner, _, process = other.name.split(".unfinished")[0].rpartition(".")[0].removeprefix(".").rpartition("-")
        if owner == host and process.isdigit() and not is_alive(int(process)):
            with suppress(OSError):
                other.unlink()
    return path.parent / f".{this_process()}.{secrets.token_hex(8)}{ending}"


def is_alive(process: int) -> bool:
    """True if a process of this machine runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _link(partial: Path, path: Path) -> None:
    try:
        os.link(partial, path)  # fails where there is one, and shows no half of the text
    except FileExistsError:
        raise
    except OSError:  # a disk without links
        with path.open("x", encoding="utf-8") as file:
            file.write(partial.read_text(encoding="utf-8"))
