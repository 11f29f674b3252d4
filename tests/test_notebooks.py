"""The notebooks are stored with the results of the cells that they have now, and run from the first to the last."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image
from scripts import load_script

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def execute():
    return load_script("notebooks/execute.py")


def cells(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def images(notebook: dict) -> list[Image.Image]:
    data = [output["data"] for cell in cells(notebook) for output in cell["outputs"] if "data" in output]
    return [Image.open(io.BytesIO(base64.b64decode(each["image/png"]))) for each in data if "image/png" in each]


def test_there_is_one_for_each_of_the_release():
    assert [path.stem for path in NOTEBOOKS] == [
        "image_to_video",
        "long_video",
        "text_to_image",
        "text_to_video",
        "understanding",
    ]


@each_notebook
def test_results_are_those_of_the_cells(path, execute):
    notebook = json.loads(path.read_text())
    assert notebook["metadata"]["videolavit"]["cells"] == execute.digest(notebook), "run notebooks/execute.py again"
    assert [cell["execution_count"] for cell in cells(notebook)] == list(range(1, len(cells(notebook)) + 1))
    assert all(min(image.size) >= 128 for image in images(notebook))
    assert images(notebook)
    assert path.stat().st_size < 1_500_000


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("shipped_model")
@each_notebook
def test_runs_and_shows_images(path, tmp_path, monkeypatch, execute):
    monkeypatch.chdir(tmp_path)
    notebook = execute.execute(json.loads(path.read_text()), path.stem)
    assert images(notebook)
    assert all(min(image.size) >= 128 for image in images(notebook))


def test_a_cell_is_kept_with_what_it_printed_and_showed(execute):
    source = [["a = 2\n", "print('one')\n", "a + 1"], ["b = a"], ["from PIL import Image\n", "Image.new('L', (3, 2))"]]
    notebook = {"metadata": {}, "cells": [{"cell_type": "code", "source": each} for each in source]}
    first, second, third = cells(execute.execute(notebook, "made"))
    assert first["outputs"][0]["text"] == ["one\n"]
    assert first["outputs"][1]["data"] == {"text/plain": ["3"]}
    assert (second["outputs"], second["execution_count"]) == ([], 2)
    assert Image.open(io.BytesIO(base64.b64decode(third["outputs"][0]["data"]["image/png"]))).size == (3, 2)
    assert notebook["metadata"]["videolavit"]["cells"] == execute.digest(notebook)
    notebook["cells"][1]["source"] = ["b = 3"]
    assert notebook["metadata"]["videolavit"]["cells"] != execute.digest(notebook)


def test_a_cell_that_fails_says_where(execute):
    notebook = {"metadata": {}, "cells": [{"cell_type": "code", "source": ["1 / 0"]}]}
    with pytest.raises(ZeroDivisionError):
        execute.execute(notebook, "made")
