"""No name is used that is defined nowhere.

Ruff's own check for that is off, since it takes the names of axes in annotations, `Float[Tensor, "batch"]`, for such.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).parent.parent


def in_strings(text: str) -> set[tuple[int, int]]:
    """(line, column) of every character of a text that is part of a string on one line, and no f-string."""
    found = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_plain = token.type == tokenize.STRING and "f" not in re.split("['\"]", token.string)[0].lower()
        if is_plain and token.start[0] == token.end[0]:
            found |= {(token.start[0], column) for column in range(token.start[1], token.end[1])}
    return found


def undefined(*paths: str) -> list[str]:
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "--output-format", "json"]
    told = json.loads(subprocess.run([*command, *paths], cwd=ROOT, capture_output=True, text=True).stdout)
    names = []
    for one in told:
        place = one["location"]["row"], one["location"]["column"] - 1
        if place not in in_strings(Path(one["filename"]).read_text(encoding="utf-8")):
            names.append(f"{one['filename']}:{place[0]}: {one['message']}")
    return names


def test_every_name_is_defined():
    assert undefined("videolavit", "recipes", "benchmarks", "examples", "tests") == []


def test_a_name_that_is_not_is_found(tmp_path):
    (tmp_path / "wrong.py").write_text('def f(x: Float[Tensor, "n"]) -> str:\n    return f"{x} {choice!r}"\n')
    names = [line.rpartition("`")[0].rpartition("`")[2] for line in undefined(str(tmp_path))]
    assert "choice" in names
    assert "n" not in names
