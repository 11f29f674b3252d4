"""Imports point down the list of layers, and taking a video apart does not import torch.

The map in docs/design.md shows `ORDER`.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "videolavit"

ORDER = [
    "errors",
    "shipped",
    "plugins",
    "config",
    "old_names",
    "rgb",
    "clip",
    "vocabulary",
    "progress",
    "clip_tokens",
    "jobs",
    "nn",
    "video.io",
    "video.motion",
    "video.clips",
    "video",
    "tokenizers",
    "language",
    "detokenizers",
    "tiny",
    "settings",
    "generation_options",
    "checkpoints",
    "memory",
    "pipeline",
    "data",
    "training",
    "scale",
    "evaluation",
    "server",
    "demo",
    "commands",
    "cli",
    "__main__",
]
"""Every part of the package, from the bottom up: a part imports those before it, and none behind it."""

STRANGERS = {"video", "tokenizers", "language", "detokenizers"}
"""Parts that do not import one another: ids, arrays and features pass between them in `pipeline`."""


def part_of(module: str) -> str:
    """`videolavit.nn.mlp` belongs to `nn`, `videolavit.video.io.open` to `video.io`, the package itself to no part."""
    names = module.split(".")[1:]
    return ".".join(names[:2]) if ".".join(names[:2]) in ORDER else ".".join(names[:1])


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
    """Whether the order lets one part import the other."""
    if importer == imported or not imported:
        return True
    families = importer.partition(".")[0], imported.partition(".")[0]
    if families[0] != families[1] and set(families) <= STRANGERS:
        return False
    return ORDER.index(imported) < ORDER.index(importer)


FILES = sorted(PACKAGE.rglob("*.py"))


def parts_imported_by(path: Path) -> set[str]:
    return {part_of(module) for module in imports_of(path)} - {"__version__"}


def test_every_part_has_a_place():
    parts = {part_of(name_of(path)) for path in FILES} - {""}
    assert parts <= set(ORDER), "give the new part a place in ORDER and in docs/design.md"


def test_the_design_page_names_every_part():
    page = (PACKAGE.parent / "docs" / "design.md").read_text()
    present = {part_of(name_of(path)) for path in FILES} - {"", "__main__"}
    missing = {part for part in present if f"`{part}`" not in page}
    assert not missing, f"docs/design.md does not name {', '.join(sorted(missing))}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down(path):
    importer = part_of(name_of(path))
    names = set() if importer == "" else parts_imported_by(path)
    wrong = {name for name in names if not may_import(importer, name)}
    assert not wrong, f"{name_of(path)} imports {', '.join(sorted(wrong))}, which is not below {importer}"


def test_no_part_imports_itself_through_another():
    arrows = {(part_of(name_of(path)), part) for path in FILES for part in parts_imported_by(path)}
    arrows = {(one, other) for one, other in arrows if one and other and one != other}
    below = {part: {other for one, other in arrows if one == part} for part in ORDER}
    for _ in ORDER:  # follow the arrows to their end
        below = {part: near.union(*(below.get(other, set()) for other in near)) for part, near in below.items()}
    assert [part for part, reached in below.items() if part in reached] == []


def test_module_names_are_unique():
    """A name says which file it is; commands and plug-ins are named by their task."""
    names: dict[str, list[str]] = {}
    for path in FILES:
        by_task = {"commands", "stages", "benchmarks", "shapes", "things", "routes", "tabs"}
        if path.stem != "__init__" and path.parent.name not in by_task:
            names.setdefault(path.stem, []).append(name_of(path))
    doubled = {stem for stem, modules in names.items() if len(modules) > 1}
    assert doubled <= {"engine", "files", "media", "generation_options"}


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
        ("training", "server", False),
        ("video.motion", "video.io", True),
        ("video.io", "video.clips", False),
        ("tiny", "detokenizers", True),
        ("detokenizers", "tiny", False),
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


@functools.cache
def importers() -> dict[str, set[str]]:
    """Files of the package, its tests and examples, by each module of another package that they import."""
    found: dict[str, set[str]] = {}
    for folder in (PACKAGE, PACKAGE.parent / "tests", PACKAGE.parent / "examples"):
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module or ""]
                for name in names:
                    found.setdefault(name.split(".")[0], set()).add(str(path.relative_to(PACKAGE.parent)))
    return found


@pytest.mark.parametrize("module", ["torchvision", "timm", "open_clip", "cv2", "torchcodec", "decord", "imageio"])
def test_nothing_imports(module):
    assert "tests/test_layering.py" in importers()["pytest"], "imports are found"
    assert importers().get(module, set()) == set()
