"""The examples run from start to end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from movies import write_movie
from PIL import Image
from scripts import load_script

EXAMPLES = Path(__file__).parent.parent / "examples"


def run_example(name: str, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    answer = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("shipped_model")
def test_demo_draws_answers_reconstructs_and_says_where_to_look(tmp_path):
    video = write_movie(tmp_path / 'it\'s a $HOME; "video".mp4', seconds=4)
    answer = run_example("demo.py", tmp_path, DEMO_VIDEO=str(video))
    times, shown = answer.stdout.split("Look at\n")
    shown, _, last = shown.partition("\n\n")
    assert last.strip().endswith("videolavit demo")
    names = [line.split()[0] for line in shown.splitlines()]
    assert len(names) == 7
    assert all((tmp_path / name).exists() for name in names)
    commands = [line.split()[2] for line in times.splitlines() if line.startswith("$ videolavit ")]
    assert commands == ["video", "answer"] * 4 + ["decompose", "tokenize", "reconstruct", "reconstruct"]
    assert len(re.findall(r"^ +\d+\.\d s  ", times, re.MULTILINE)) == len(commands)


def test_the_demo_can_be_run_again():
    commands = [command for _, command in load_script("examples/demo.py").steps("clip.mp4")]
    writing = [command for command in commands if "-o" in command and command[0] != "decompose"]  # it knows its folder
    assert [command[0] for command in writing] == ["video"] * 4 + ["tokenize", "reconstruct", "reconstruct"]
    assert all("-f" in command for command in writing)


def test_the_demo_stops_at_the_first_step_that_fails(tmp_path, monkeypatch, capsys):
    demo = load_script("examples/demo.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEMO_VIDEO", "missing.mp4")
    monkeypatch.setattr(demo, "steps", lambda video: [("One", ["info", video]), ("Two", ["info", video])])
    assert demo.main() == 1
    shown = capsys.readouterr()
    assert "missing.mp4" in shown.err
    assert "Two" not in shown.out
    assert "Look at" not in shown.out


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("shipped_model")
def test_the_images_of_the_readme_can_be_drawn_again(tmp_path):
    answer = run_example("images.py", tmp_path, "--folder", "drawn")
    for path in answer.stdout.splitlines():
        with Image.open(tmp_path / path) as image:
            pixels = np.asarray(image.convert("RGB"))
        assert min(pixels.shape[:2]) > 300
        assert pixels.std() > 10
    assert len(answer.stdout.splitlines()) == 2


def test_dropped_patches_are_dark_and_kept_ones_are_not():
    images = load_script("examples/images.py")
    white = np.full((128, 128, 3), 255, np.uint8)
    keep = np.zeros(64, bool)
    keep[[0, 63]] = True
    shown = images.kept_patches(white, keep, [7, 8]).reshape(8, 48, 8, 48, 3).mean((1, 3, 4))
    assert (shown.reshape(-1) > 150).tolist() == keep.tolist()


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
