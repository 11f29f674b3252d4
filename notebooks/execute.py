"""Run the notebooks and store what each cell shows, so that readers see results without running anything.

    python notebooks/execute.py                       all of them, a few minutes each on a CPU
    python notebooks/execute.py text_to_image         one, by its name

Cells run one after the other in this process. A notebook remembers a digest of its cells: tests/test_notebooks.py fails
when a cell was changed and the notebook not run again.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
_FORMATS = {"_repr_png_": "image/png", "_repr_html_": "text/html"}


def digest(notebook: dict[str, Any]) -> str:
    """Hash of the text of all cells that are code."""
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()


def run_cell(source: str, name: str, names: dict[str, Any]) -> Any:
    """Value of the last line of a cell, if that is an expression."""
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), name, "eval"), names)


def shown(value: Any) -> dict[str, Any]:
    """What a notebook shows of a value, by its form."""
    forms: dict[str, Any] = {"text/plain": repr(value).splitlines(keepends=True)}
    for method, form in _FORMATS.items():
        data = getattr(value, method)() if hasattr(value, method) else None
        if data is not None:
            forms[form] = base64.b64encode(data).decode() if isinstance(data, bytes) else data
    return forms


def execute(notebook: dict[str, Any], name: str) -> dict[str, Any]:
    """The notebook with what its cells printed and showed."""
    names: dict[str, Any] = {"__name__": "__notebook__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, start=1):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            value = run_cell("".join(cell["source"]), f"{name}[{number}]", names)
        lines = printed.getvalue().splitlines(keepends=True)
        cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": lines}] if lines else []
        if value is not None:
            result = {"data": shown(value), "execution_count": number, "metadata": {}, "output_type": "execute_result"}
            cell["outputs"].append(result)
        cell["execution_count"] = number
    notebook["metadata"]["videolavit"] = {"cells": digest(notebook)}
    return notebook


def main(names: list[str]) -> None:
    """Run the notebooks of these names, or all; each is written when it has run to its end."""
    known = {path.stem: path.resolve() for path in sorted(FOLDER.glob("*.ipynb"))}
    if unknown := set(names) - set(known):
        raise SystemExit(f"no notebook {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name in names or known:
        notebook = json.loads(known[name].read_text())
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            executed = execute(notebook, name)
        partial = known[name].with_suffix(".partial")
        partial.write_text(json.dumps(executed, indent=1, ensure_ascii=False) + "\n")
        os.replace(partial, known[name])
        print(f"{name}: done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
