"""Files for the results of one command line: named by the user, or after the prompt; never over a file unasked."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from videolavit.commands._shared.folders import made_folder
from videolavit.commands._shared.paths import check_free, check_target
from videolavit.errors import ConfigError
from videolavit.video.io.write import LEAST_FPS, MOST_FPS

__all__ = ["STDOUT", "ResultFile", "VideoFile"]

STDOUT = Path("-")
_LONGEST_NAME = 48


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultFile:
    """File for the result."""

    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FILE")] = None
    """File to write; its extension names the format, and - is stdout. By default a new name in this folder. For several
    results their folder, or a name to which numbers are added."""
    force: Annotated[bool, arg(aliases=["-f"])] = False
    """Replace a file that exists."""

    def path(self, stem: str, extension: str, *sources: str | None) -> Path:
        """The file for the one result, checked.

        Args:
            stem: name of the file where none is given; words are joined by hyphens.
            extension: of that name.
            sources: files that the result is made from.

        Raises:
            OutputError: it cannot be written, whatever the work.
            ConfigError: it exists and may not be replaced, or is one of `sources`.
        """
        return next(self.paths([stem], extension, *sources))

    def paths(
        self, stems: list[str], extension: str, *sources: str | None, in_folder: bool | None = None
    ) -> Iterator[Path]:
        """Different files for several results, checked as `path` does it.

        A name without extension, or a folder that exists, is their folder; also that of a single one with `in_folder`.
        """
        in_folder = len(stems) > 1 if in_folder is None else in_folder
        if in_folder and self.output is not None and self.output != STDOUT and not self.output.suffix:
            made_folder(self.output)
        taken: set[Path] = set()
        for number, stem in enumerate(stems, start=1):
            path = self._path(stem, extension, number if len(stems) > 1 else None, taken, in_folder)
            taken.add(path)
            if path == STDOUT:
                self._check_stdout(len(stems))
            else:
                check_target(path, *sources)
                check_free(path, force=self.force)
            yield path

    def _path(self, stem: str, extension: str, number: int | None, taken: set[Path], in_folder: bool) -> Path:
        if self.output is None or (in_folder and self.output.is_dir()):
            return _free(self.output or Path(), plain_name(stem), extension, taken)
        if self.output == STDOUT or number is None:
            return self.output
        return self.output.with_name(f"{self.output.stem}-{number}{self.output.suffix}")

    def _check_stdout(self, results: int) -> None:
        if results > 1:
            raise ConfigError("stdout takes one result; name a file with -o, and the results are numbered")
        if sys.stdout.isatty():
            raise ConfigError("-o - writes bytes to stdout, which is a terminal here; send them to a file or a program")


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoFile(ResultFile):
    """File for the video."""

    fps: float | None = None
    """Frames per second of the file; the model makes 6 for a second, so that 12 plays twice as fast."""

    def paths(
        self, stems: list[str], extension: str, *sources: str | None, in_folder: bool | None = None
    ) -> Iterator[Path]:
        """The files of `ResultFile.paths`; raises `ConfigError` for a speed that no file has, before any work."""
        if self.fps is not None and not LEAST_FPS <= self.fps <= MOST_FPS:
            raise ConfigError(f"--fps: expected a number from {LEAST_FPS} to {MOST_FPS}, got {self.fps:g}")
        return super(VideoFile, self).paths(stems, extension, *sources, in_folder=in_folder)


def plain_name(text: str) -> str:
    """Letters and digits of a text, joined by hyphens, for the name of a file."""
    words = re.findall(r"\w+", text.lower())
    name = "-".join(words)
    return name[:_LONGEST_NAME].rstrip("-") or "result"


def _free(folder: Path, stem: str, extension: str, taken: set[Path]) -> Path:
    path, number = folder / f"{stem}{extension}", 2
    while path.exists() or path in taken:
        path, number = folder / f"{stem}-{number}{extension}", number + 1
    return path
