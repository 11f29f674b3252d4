"""Folders for results: made before any work, and gone again where the command put nothing into them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from videolavit.errors import ConfigError, OutputError

__all__ = ["made_folder", "remove_empty_folders"]

_FILES = (".mp4", ".webm", ".gif", ".webp", ".png", ".jpg", ".jpeg", ".mov", ".mkv", ".avi", ".txt", ".json")

_made: list[Path] = []


def made_folder(folder: Path) -> Path:
    """The folder, made where it does not exist, and then removed at the end of the command if it is still empty.

    Raises:
        OutputError: it cannot be made.
        ConfigError: a new one has the name of an image, a video or tokens.
    """
    if folder.suffix.lower() in _FILES and not folder.exists():
        raise ConfigError(
            f"{folder}: results go into a folder, and this is the name of a file; leave {folder.suffix} out"
        )
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    _made.extend(one.absolute() for one in reversed(missing))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made a folder for the results: {error.strerror}") from error
    return folder


def remove_empty_folders() -> None:
    """Remove the folders that `made_folder` made and nothing was put into."""
    while _made:
        with suppress(OSError):  # something is in it, or it is gone
            _made.pop().rmdir()
