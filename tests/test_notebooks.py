"""The notebooks run from the first cell to the last, and are stored without results."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from PIL import Image

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path) -> list[dict]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def test_there_is_one_for_each_of_the_release():
    assert [path.stem for path in NOTEBOOKS] == [
        "image_to_video",
        "long_video",
        "text_to_image",
        "text_to_video",
        "understanding",
    ]


@each_notebook
def test_results_are_stripped(path):
    for cell in cells(path):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
    assert path.stat().st_size < 10_000


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("shipped_model")
@each_notebook
def test_runs_and_shows_images(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__notebook__"}
    results = [run_cell("".join(cell["source"]), f"{path.name}[{i}]", names) for i, cell in enumerate(cells(path))]
    images = [result for result in results if isinstance(result, Image.Image)]
    assert images
    assert all(min(image.size) >= 128 for image in images)


def run_cell(source: str, name: str, names: dict[str, object]) -> object:
    """What a notebook would show below the cell: the value of its last line, if that is an expression."""
    tree = ast.parse(source, name)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), name, "eval"), names)


def test_a_cell_gives_the_value_of_its_last_expression():
    names: dict[str, object] = {}
    assert run_cell("a = 2\na + 1", "cell", names) == 3
    assert run_cell("b = a", "cell", names) is None
    with pytest.raises(ZeroDivisionError):
        run_cell("1 / 0", "cell", names)
