"""Docstrings and pages read as the project says they should."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import PROJECT

CLAUSE = re.compile(r"(What|How|Where|Which|Whether|That|Who|When)\b")
FILES = sorted((PROJECT / "videolavit").rglob("*.py"))


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring: of modules, classes, functions, and of attributes below their line."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else []:
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield statement.lineno, value.value.strip()


def clauses(path: Path) -> list[str]:
    """Docstrings that open with a clause where a noun or a verb would say at once what the thing is."""
    found = docstrings(ast.parse(path.read_text()))
    return [f"{path.name}:{line}: {text.splitlines()[0]}" for line, text in found if CLAUSE.match(text)]


@pytest.mark.parametrize("part", sorted({path.relative_to(PROJECT / "videolavit").parts[0] for path in FILES}))
def test_docstrings_open_with_a_noun_or_a_verb(part):
    """ "Per-pixel displacement from block motion." and not "How far each pixel moves."; "True if" and not "Whether"."""
    files = [path for path in FILES if path.relative_to(PROJECT / "videolavit").parts[0] == part]
    assert [line for path in files for line in clauses(path)] == []


def test_a_clause_is_found_wherever_it_stands(tmp_path):
    (tmp_path / "code.py").write_text(
        '"""What is here."""\nclass A:\n    b: int = 0\n    """Where b is."""\n'
        '    def c(self):\n        """Whether c."""\n        return 1\n\ndef d():\n    """Whatever it takes."""\n'
    )
    assert [line.rpartition(": ")[2] for line in sorted(clauses(tmp_path / "code.py"))] == [
        "What is here.",
        "Where b is.",
        "Whether c.",
    ]
