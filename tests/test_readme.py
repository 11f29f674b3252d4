"""Every example of README and docs runs: python blocks in order, and every `$ videolavit` line of console blocks.

Pages that use the model of the package, or train, take longer than the others.
"""

from __future__ import annotations

import io
import json
import shlex
import shutil
from contextlib import redirect_stderr
from pathlib import Path

import pytest
from checkpoints.small_release import write_playable_release
from movies import write_movie
from pages import PROJECT, Block, blocks, pages

from videolavit import cli, shipped

OWN_TESTS = {"extending.md"}
"""Pages whose blocks are files of a plug-in: tests/test_extending.py."""

PAGES_WITH_EXAMPLES = [
    page
    for page in pages()
    if page.name not in OWN_TESTS and any(b.language in ("python", "console") for b in blocks(page))
]

TRAINING, COMMAND_LINE = PROJECT / "docs" / "training.md", PROJECT / "docs" / "command-line.md"
LONG = {TRAINING, COMMAND_LINE, *(PROJECT / "docs" / f"{name}.md" for name in ("checkpoints", "memory", "released"))}
"""Pages whose examples take about ten seconds or more."""


def uses_the_shipped_model(page: Path) -> bool:
    return any(block.language == "python" and "from_pretrained()" in block.text for block in blocks(page))


def with_marks(page: Path):
    takes_long = uses_the_shipped_model(page) or page in LONG
    marks = [pytest.mark.slow, pytest.mark.timeout(1200)] if takes_long else []
    return pytest.param(page, marks=marks, id=str(page.relative_to(PROJECT)))


@pytest.mark.parametrize("page", [with_marks(page) for page in PAGES_WITH_EXAMPLES])
def test_examples_run(page, tmp_path, monkeypatch, request):
    """In a folder with two videos and a small `checkpoint`; the python blocks of one page share their variables."""
    if uses_the_shipped_model(page):
        request.getfixturevalue("shipped_model")
    write_movie(tmp_path / "video.mp4")
    write_movie(tmp_path / "second.mp4", seconds=6, seed=1)
    monkeypatch.chdir(tmp_path)
    if page == COMMAND_LINE:  # many examples: a model that computes little stands in for the shipped one
        write_quick_release(tmp_path / "released")
        assert cli.main(["convert", "released", "stand-in/tiny"]) == 0
        monkeypatch.setattr(shipped, "FOLDER", tmp_path / "stand-in")
    elif "checkpoint" in page.read_text():
        write_quick_release(tmp_path / "checkpoint")
    run_examples(page)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_training_on_real_clips_runs_as_the_page_says(videos, tmp_path, monkeypatch):
    shutil.copy(videos / "vlv_9.mp4", tmp_path / "video.mp4")
    shutil.copy(videos / "mma_demo.mp4", tmp_path / "second.mp4")
    monkeypatch.chdir(tmp_path)
    run_examples(TRAINING)
    assert (tmp_path / "runs" / "motion_tokenizer" / "export").is_dir()


def write_quick_release(folder: Path) -> None:
    """A small checkpoint that draws in few steps, so that examples need not ask for that."""
    write_playable_release(folder)
    stated = json.loads((folder / "videolavit.json").read_text())
    settings = {
        "keyframe_num_inference_steps": 2,
        "keyframe_guidance_scale": 1.0,
        "frames": {"num_inference_steps": 1, "max_guidance_scale": 1.0},
    }
    (folder / "videolavit.json").write_text(json.dumps(stated | {"settings": settings}))


def run_examples(page: Path) -> None:
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
        # In this process: one of its own would take longer to import torch than most commands take.
        with redirect_stderr(io.StringIO()) as errors:
            code = cli.main(arguments)
        assert code == 0, f"{page.name}:{block.line}: {command}\n{errors.getvalue()}"


def test_readme_has_examples():
    assert PROJECT / "README.md" in PAGES_WITH_EXAMPLES
