"""The recipes of docs/extending.md: their files, written into an empty folder, extend the package as it is."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from movies import write_movie
from pages import PROJECT, Block, blocks
from PIL import Image
from test_readme import run_console

from videolavit import cli
from videolavit.errors import ConfigError
from videolavit.plugins import load_plugin, plugins
from videolavit.video import Frames, decompose

PAGE = PROJECT / "docs" / "extending.md"
SLOW = ("A benchmark", "A stage", "A backbone")
"""Recipes that open a model, or train."""


def sections() -> dict[str, list[Block]]:
    """Blocks of the page by the heading above them; those before the first heading under an empty name."""
    headings = [(m[1], PAGE.read_text().count("\n", 0, m.start()) + 1) for m in _headings()]
    found: dict[str, list[Block]] = {}
    for block in blocks(PAGE):
        above = [name for name, line in headings if line < block.line]
        found.setdefault(above[-1] if above else "", []).append(block)
    return found


def _headings() -> list[re.Match[str]]:
    return list(re.finditer(r"^## (.+)$", PAGE.read_text(), re.MULTILINE))


def file_name(block: Block) -> str | None:
    """Name of the file that a block is: it stands in the first line."""
    first = re.match(r"# ([\w.]+)\n", block.text)
    return first[1] if first and block.language in ("python", "toml") else None


@pytest.fixture
def plug_ins(tmp_path, monkeypatch):
    """Folder with all files of the page, as importable as if `pip install -e .` had been run in it."""
    for block in blocks(PAGE):
        if name := file_name(block):
            (tmp_path / name).write_text(block.text)
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    note = tmp_path / "videolavit_examples-0.1.dist-info"
    note.mkdir()
    (note / "METADATA").write_text("Metadata-Version: 2.1\nName: videolavit-examples\nVersion: 0.1\n")
    groups = project["entry-points"].items()
    lines = [line for group, points in groups for line in (f"[{group}]", *(f"{n} = {v}" for n, v in points.items()))]
    (note / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    modules = [Path(name).stem for name in map(file_name, blocks(PAGE)) if name and name.endswith(".py")]
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    write_movie(work / "video.mp4")
    yield tmp_path
    for module in modules:
        sys.modules.pop(module, None)


def run_section(name: str) -> None:
    """Blocks of a recipe in order, but for those that are files."""
    names: dict[str, object] = {"__name__": "__example__"}
    for block in sections()[name]:
        if file_name(block):
            continue
        if block.language == "python":
            exec(compile("\n" * block.line + block.text, str(PAGE), "exec"), names)
        elif block.language == "console":
            run_console(block, PAGE)


def marked(name: str):
    return pytest.param(name, marks=[pytest.mark.slow, pytest.mark.timeout(600)] if name in SLOW else [], id=name)


@pytest.mark.parametrize("name", [marked(name) for name in sections() if name])
def test_recipe(name, plug_ins, request):
    if name in SLOW:
        request.getfixturevalue("shipped_model")
    if name == "A backbone":  # which goes on with the data and the images of the recipes before
        (plug_ins / "work" / "squares").mkdir()
        Image.new("RGB", (128, 128), "red").save(plug_ins / "work" / "squares" / "red.png")
        assert cli.main(["prepare", "shapes", "-o", "data/few", "--num-videos", "8"]) == 0
    run_section(name)
    outputs = {"A benchmark": "odd_colour.jsonl", "A stage": "runs/guess/export", "A source of motion": "by_camera"}
    outputs["A backbone"] = "with_qwen"
    assert name not in outputs or (plug_ins / "work" / outputs[name]).exists()


def test_help_lists_commands_of_other_packages(plug_ins, capsys):
    assert cli.main(["--help"]) == 0
    assert re.search(r"^  brightness +of the package videolavit-examples$", capsys.readouterr().out, re.MULTILINE)
    assert cli.main(["brightnes", "video.mp4"]) == 2
    assert "did you mean brightness?" in capsys.readouterr().err


def test_a_command_prints_one_line_for_each_clip(plug_ins):
    with redirect_stdout(io.StringIO()) as shown:
        assert cli.main(["brightness", "video.mp4", "--digits", "2"]) == 0
    clips = decompose("video.mp4", select="all")
    assert [line.split()[-1] for line in shown.getvalue().splitlines()] == [f"{c.keyframe.mean():.2f}" for c in clips]


@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (-2, 4), (0, -5)])
def test_the_source_of_motion_finds_the_shift_of_an_image(plug_ins, dx, dy):
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    images = [np.roll(image, (tick * dy, tick * dx), (0, 1)) for tick in range(24)]
    [clip] = decompose(Frames(images=images, fps=6), motion="global", select="every 2", frames_per_clip=24)
    assert clip.motion.values[:, 0].any() == 0
    assert np.array_equal(clip.motion.values[0, 1:], np.full_like(clip.motion.values[0, 1:], dx))
    assert np.array_equal(clip.motion.values[1, 1:], np.full_like(clip.motion.values[1, 1:], dy))


def test_names_that_nothing_has_are_refused_with_those_that_there_are(plug_ins):
    with pytest.raises(ConfigError, match="did you mean global"):
        decompose("video.mp4", motion="globl")
    with pytest.raises(ConfigError, match="needs motion='reencode'"):
        decompose("video.mp4", motion="global", shots="encoder")


def test_a_plug_in_that_cannot_be_imported_is_named(plug_ins):
    (plug_ins / "global_motion.py").write_text("import a_library_that_nobody_has\n")
    with pytest.raises(ConfigError, match="the source of motion global: global_motion:global_motion cannot be"):
        decompose("video.mp4", motion="global")
    (plug_ins / "brightness.py").unlink()
    with pytest.raises(ConfigError, match="the command brightness: brightness cannot be imported"):
        load_plugin(plugins("videolavit.commands")["brightness"], "command")


@pytest.mark.slow
def test_pip_installs_what_the_page_shows(plug_ins, tmp_path):
    """The entry points that the other tests write by hand are those that the project's metadata make."""
    ours = (plug_ins / "videolavit_examples-0.1.dist-info" / "entry_points.txt").read_text()
    shutil.rmtree(plug_ins / "videolavit_examples-0.1.dist-info")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*pip, str(plug_ins), "-w", str(tmp_path / "wheels")], check=True, cwd=plug_ins)
    [wheel] = (tmp_path / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        made = archive.read("videolavit_examples-0.1.dist-info/entry_points.txt").decode()
        assert {"brightness.py", "global_motion.py", "odd_colour.py", "mean_motion.py"} <= set(archive.namelist())
    assert set(filter(None, made.splitlines())) == set(filter(None, ours.splitlines()))
