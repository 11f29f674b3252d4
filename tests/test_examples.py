"""The examples run from start to end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from movies import write_movie

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_demo_takes_a_video_apart_and_says_where_to_look(tmp_path):
    video = write_movie(tmp_path / 'it\'s a $HOME; "video".mp4', seconds=4)
    answer = subprocess.run(
        [sys.executable, EXAMPLES / "demo.py"],
        cwd=tmp_path,
        env={**os.environ, "DEMO_VIDEO": str(video), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    shown = [line.split()[0] for line in answer.stdout.split("Look at\n")[1].splitlines()]
    assert shown
    assert all((tmp_path / name).exists() for name in shown)


def test_make_hands_over_a_name_with_a_dollar_as_it_is(tmp_path):
    program = f'include {EXAMPLES.parent / "Makefile"}\nshow:\n\t@printf %s "$$DEMO_VIDEO"\n'
    (tmp_path / "Makefile").write_text(program)
    name = "it's $HOME and $(shell false).mp4"
    answer = subprocess.run(
        ["make", "-s", "show", f"VIDEO={name}"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert answer.stdout == name


def test_the_demo_finds_the_video_that_gradio_ships():
    pytest.importorskip("gradio")
    program = f"import sys; sys.path.insert(0, {str(EXAMPLES)!r}); import demo; print(demo.shipped_video())"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert Path(answer.stdout.strip()).stat().st_size > 100_000
