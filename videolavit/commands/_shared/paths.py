"""Targets of results: refused before any work if they cannot be written, and never written over what they come from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from videolavit.errors import ConfigError
from videolavit.video.io.write import check_output

__all__ = ["check_free", "check_preview", "check_target", "refuse_swapped"]


def check_target(output: Path, *sources: str | os.PathLike[str] | None, extensions: tuple[str, ...] = ()) -> None:
    """Tell before any work that `output` cannot be written, or is one of the files that it is made from.

    Raises:
        OutputError: as `videolavit.video.io.write.check_output`; `extensions` by default those of images and videos.
        ConfigError: `output` is one of `sources`.
    """
    check_output(output, *([extensions] if extensions else []))
    for source in sources:
        if source is not None and os.path.exists(source) and output.exists() and os.path.samefile(source, output):
            raise ConfigError(f"{output} is what the result is made from and would be overwritten; choose another name")


def check_free(path: Path, *, force: bool, option: str = "-o") -> None:
    """Raise `ConfigError` for a file that exists, unless it may be replaced; `option` is the one that names it."""
    if not force and path.is_file():
        raise ConfigError(f"{path} exists; name another file with {option}, or replace it with -f")


def check_preview(preview: Path, outputs: Iterable[Path], *sources: str | None, force: bool) -> None:
    """Tell before any work that a preview cannot be written, or would be written over something.

    Raises:
        OutputError: as `check_target`.
        ConfigError: it is stdout, one of `outputs` or `sources`, or exists and may not be replaced.
    """
    if preview == Path("-"):
        raise ConfigError("--preview goes to a file, and not to stdout; name one")
    check_target(preview, *sources)
    if os.path.realpath(preview) in map(os.path.realpath, outputs):
        raise ConfigError(f"--preview and --output are the same file, {preview}; name two")
    check_free(preview, force=force, option="--preview")


def refuse_swapped(command: str, file: str, prompt: str) -> None:
    """Raise `ConfigError` for a text where the file is expected, and the file behind it."""
    if not os.path.exists(file) and os.path.isfile(prompt):
        raise ConfigError(f'the file comes first; write: videolavit {command} {prompt} "{file}" ...')
