"""What the tests of the documentation read from Markdown: fenced blocks, links, headings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parent.parent

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NAMED_CODE = re.compile(r"\[`([\w.]+)`\]\(([^)\s]+\.py)\)")
_NAMED_FILE = re.compile(r"\[`?([\w./-]+\.(?:py|md|sh|toml|txt|yaml|ipynb))`?\]\(([^)\s#]+)\)")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of code: where it begins, its language and its text."""

    line: int
    language: str
    text: str


def pages() -> list[Path]:
    return [*sorted(PROJECT.glob("*.md")), *sorted((PROJECT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [Block(text.count("\n", 0, m.start()) + 1, m[1], m[2]) for m in _FENCE.finditer(text)]


def links(page: Path) -> list[str]:
    prose = _FENCE.sub("", page.read_text())
    return [m[1] or m[2] for m in _LINK.finditer(prose)]


def named_code(page: Path) -> list[tuple[str, Path]]:
    """Links whose text is a name and whose target is a file of Python, as [`Clip`](../videolavit/clip.py)."""
    prose = _FENCE.sub("", page.read_text())
    return [(name, (page.parent / target).resolve()) for name, target in _NAMED_CODE.findall(prose)]


def named_files(page: Path) -> list[tuple[str, Path]]:
    """Links whose text is a file, as [video/io/open.py](../videolavit/video/io/open.py): that text, and the target."""
    prose = _FENCE.sub("", page.read_text())
    found = [(name, target) for name, target in _NAMED_FILE.findall(prose) if "://" not in target]
    return [(name, (page.parent / target).resolve()) for name, target in found]


def anchors(page: Path) -> set[str]:
    """The names by which links reach the headings of a page."""
    prose = _FENCE.sub("", page.read_text())
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
