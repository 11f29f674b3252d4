"""Imports point down the list of layers, and taking a video apart does not import torch.

The map in docs/design.md is drawn from `LAYERS`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "videolavit"

LAYERS = [
    {"errors", "clip", "vocabulary", "config", "rgb"},
    {"nn"},
    {"video", "tokenizers", "language", "detokenizers"},
    {"settings", "checkpoints", "assembly", "inputs", "perception", "results", "tasks", "pipeline"}
    | {"data", "training", "evaluation"},
    {"cli", "commands", "web", "__main__"},
]
"""From the bottom up. A part imports its own layer and those below."""

STRANGERS = LAYERS[2]
"""Parts of one layer that do not import one another: ids, arrays and features pass between them in pipeline.py."""


def part_of(module: str) -> str:
    """`videolavit.video.warp` belongs to `video`; the package itself, `videolavit`, to no part."""
    return module.partition(".")[2].partition(".")[0]


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Every module of the package that a file names in an import, wherever in the file."""
    found = set()
    package = name_of(path) if path.stem == "__init__" else name_of(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            found |= {f"{base}.{alias.name}" for alias in node.names} if base == "videolavit" else {base}
    return {module for module in found if module.split(".")[0] == "videolavit"}


def may_import(importer: str, imported: str) -> bool:
    if importer == imported or not imported:
        return True
    height = {part: level for level, layer in enumerate(LAYERS) for part in layer}
    if {importer, imported} <= STRANGERS:
        return False
    return height[imported] <= height[importer]


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_part_has_a_layer():
    parts = {part_of(name_of(path)) for path in FILES} - {""}
    assert parts <= set().union(*LAYERS), "give the new part a place in LAYERS and in docs/design.md"


def test_the_design_page_names_every_part():
    page = (PACKAGE.parent / "docs" / "design.md").read_text()
    missing = {part for part in set().union(*LAYERS) - {"__main__"} if f"`{part}`" not in page}
    assert not missing, f"docs/design.md does not name {', '.join(sorted(missing))}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down(path):
    importer = part_of(name_of(path))
    names = set() if importer == "" else {part_of(module) for module in imports_of(path)} - {"__version__"}
    wrong = {name for name in names if not may_import(importer, name)}
    assert not wrong, f"{name_of(path)} imports {', '.join(sorted(wrong))}, which is not below {importer}"


def test_the_package_itself_imports_nothing_of_its_own():
    assert imports_of(PACKAGE / "__init__.py") == set(), "public names are imported when first used"


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("pipeline", "video", True),
        ("video", "clip", True),
        ("video", "pipeline", False),
        ("tokenizers", "language", False),
        ("nn", "tokenizers", False),
        ("cli", "pipeline", True),
        ("training", "web", False),
    ],
)
def test_the_rule_says_what_the_design_says(importer, imported, allowed):
    assert may_import(importer, imported) is allowed


@pytest.mark.parametrize("module", ["videolavit", "videolavit.clip", "videolavit.video", "videolavit.cli"])
def test_imports_without_torch(module):
    heavy = {"torch", "transformers", "diffusers", "gradio"}
    program = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["torchvision", "timm", "open_clip", "cv2", "torchcodec", "decord", "imageio"])
def test_nothing_imports(module):
    importers = [
        str(path.relative_to(PACKAGE.parent))
        for folder in (PACKAGE, PACKAGE.parent / "tests", PACKAGE.parent / "examples")
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == module for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == module)
    ]
    assert importers == []
