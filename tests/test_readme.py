"""Every example of README and docs runs: python blocks in order, and every `$ videolavit` line of console blocks."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints.small_release import write_playable_release
from movies import write_movie
from pages import PROJECT, Block, blocks, pages

PAGES_WITH_EXAMPLES = [page for page in pages() if any(b.language in ("python", "console") for b in blocks(page))]


@pytest.mark.parametrize("page", PAGES_WITH_EXAMPLES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_examples_run(page, tmp_path, monkeypatch):
    """In a folder with two videos and a small `checkpoint`; the python blocks of one page share their variables."""
    write_movie(tmp_path / "video.mp4")
    write_movie(tmp_path / "second.mp4", seconds=6, seed=1)
    if '"checkpoint"' in page.read_text():
        write_playable_release(tmp_path / "checkpoint")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__example__"}
    for block in blocks(page):
        if block.language == "python":
            exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
        elif block.language == "console":
            run_console(block, page)


def run_console(block: Block, page: Path) -> None:
    lines = block.text.replace("\\\n", " ").splitlines()
    commands = [line[2:] for line in lines if line.startswith("$ ")]
    assert commands, f"{page.name}:{block.line}: a console block has lines that begin with `$ `"
    for command in commands:
        name, *arguments = shlex.split(command, comments=True)
        assert name == "videolavit", f"{page.name}:{block.line}: {command!r} cannot be tested; make it an sh block"
        answer = subprocess.run(
            [sys.executable, "-m", "videolavit", *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=False,
        )
        assert answer.returncode == 0, f"{page.name}:{block.line}: {command}\n{answer.stderr}"


def test_readme_has_examples():
    assert PROJECT / "README.md" in PAGES_WITH_EXAMPLES
