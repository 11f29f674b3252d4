"""Output of all commands: one JSON document on stdout, and progress bars where a person watches."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from tqdm import tqdm

__all__ = [
    "StageBars",
    "be_quiet",
    "is_quiet",
    "print_json",
    "printable",
    "progress_bar",
    "readable_size",
    "sign_of_life",
    "tell_written",
    "told_seconds",
    "until_words",
]


_QUIET = [False]
"""Set by the command line's `--quiet`, for all of the process."""


def be_quiet(quiet: bool) -> None:
    """Show no bars, and no lines about what was written, from now on."""
    _QUIET[0] = quiet


def is_quiet() -> bool:
    """True if `--quiet` was given."""
    return _QUIET[0]


def print_json(document: Any) -> None:
    """The one thing that a command with `--json` prints on stdout."""
    print(json.dumps(document, indent=2))


def tell_written(line: str) -> None:
    """A line on stdout about what was written, unless `--quiet` was given."""
    if not is_quiet():
        print(printable(line))


def printable(text: str, *, keep: str = "") -> str:
    """Text on one line, harmless to a terminal: names of files may hold line breaks and commands to it.

    Letters of `keep` stay as they are.
    """
    return "".join(
        letter if letter.isprintable() or letter in keep else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def progress_bar(total: int | float | None, unit: str, *, quiet: bool, description: str = "") -> tqdm:
    """A bar on stderr, shown only where stderr is a terminal and `quiet` is not asked for."""
    hidden = quiet or is_quiet() or not sys.stderr.isatty()
    return tqdm(total=total, unit=unit, desc=description or None, disable=hidden, file=sys.stderr, leave=False)


@contextmanager
def sign_of_life(doing: str) -> Iterator[None]:
    """A line on a terminal while libraries are read, which takes seconds and has no steps; then it is gone."""
    hidden = is_quiet() or not sys.stderr.isatty()
    if not hidden:
        print(f"{doing} ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if not hidden:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


class StageBars:
    """A bar for the step that a model is at, with the time left: the `progress` of the pipeline's tasks."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._stage = ""
        self._bar: tqdm | None = None

    def __enter__(self) -> StageBars:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` steps of a stage; a total of 0 is one that is not known."""
        if self._bar is None or stage != self._stage or done < self._bar.n:
            self.close()
            self._stage, self._bar = stage, progress_bar(total or None, "step", quiet=self._quiet, description=stage)
        self._bar.total = total or None
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Take the bar away; the next call shows a new one."""
        if self._bar is not None:
            self._bar.close()


def until_words(bars: StageBars) -> Callable[[str, int, int], None]:
    """The same `progress`, but for the writing of an answer: its words show how far it is."""

    def show(stage: str, done: int, total: int) -> None:
        if stage != "generate":
            bars(stage, done, total)

    return show


def told_seconds(seconds: float) -> str:
    """`1:02.50` for 62.5 seconds."""
    hundredths = round(seconds * 100)
    return f"{hundredths // 6000}:{hundredths % 6000 / 100:05.2f}"


def readable_size(num_bytes: int) -> str:
    """`1.5 MB` for 1 500 000."""
    size = float(num_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
