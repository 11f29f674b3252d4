"""What the commands share: one JSON document on stdout, and a progress bar where a person watches."""

from __future__ import annotations

import json
import sys
from typing import Any

from tqdm import tqdm

__all__ = ["print_json", "printable", "progress_bar", "readable_size"]


def print_json(document: Any) -> None:
    """The one thing that a command with `--json` prints on stdout."""
    print(json.dumps(document, indent=2))


def printable(text: str) -> str:
    """Text on one line, harmless to a terminal: names of files may hold line breaks and commands to it."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def progress_bar(total: int | float | None, unit: str, *, quiet: bool, description: str = "") -> tqdm:
    """A bar on stderr, shown only where stderr is a terminal and `quiet` is not asked for."""
    hidden = quiet or not sys.stderr.isatty()
    return tqdm(total=total, unit=unit, desc=description or None, disable=hidden, file=sys.stderr, leave=False)


def readable_size(num_bytes: int) -> str:
    """`1.5 MB` for 1 500 000."""
    size = float(num_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
