"""Facts about the repository that are easily broken by accident."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import videolavit
from videolavit.commands._shared.installed import FOR_DEVELOPERS

PROJECT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())


def constraints() -> dict[str, str]:
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    return {
        canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines) if version
    }


def requirements() -> list[Requirement]:
    project = PYPROJECT["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    return [Requirement(line) for line in [*project["dependencies"], *extras] if not line.startswith("videolavit[")]


def files_under_version_control() -> list[Path]:
    answer = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=False)
    if answer.returncode != 0:
        pytest.skip("not a git checkout")
    return [PROJECT / name for name in answer.stdout.decode().split("\0") if name]


def test_one_version_everywhere():
    assert importlib.metadata.version("videolavit") == videolavit.__version__
    assert f"version: {videolavit.__version__}\n" in (PROJECT / "CITATION.cff").read_text()


def test_every_dependency_has_an_exact_version_within_its_range():
    exact = constraints()
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        assert name in exact, f"{name} is missing in constraints.txt"
        assert requirement.specifier.contains(exact[name]), f"{name} {exact[name]} is outside {requirement.specifier}"


def test_constraints_are_plain_versions_in_order():
    names = list(constraints())
    assert names == sorted(names)
    assert all(not Version(version).local for version in constraints().values())


def test_the_license_is_whole():
    text = (PROJECT / "LICENSE").read_text()
    assert text.lstrip().startswith("Apache License\n")
    assert "END OF TERMS AND CONDITIONS" in text
    assert re.findall(r"^   (\d)\. ", text, re.MULTILINE) == list("123456789")


def test_the_image_gets_every_file_that_the_package_names():
    dockerfile, project = (PROJECT / "deploy" / "Dockerfile").read_text(), PYPROJECT["project"]
    copied = {name for line in dockerfile.splitlines() if line.startswith("COPY ") for name in line.split()[1:-1]}
    assert {"pyproject.toml", project["readme"], *project["license-files"]} <= copied


def test_every_make_target_explains_itself():
    makefile = (PROJECT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[1].split()
    assert {"demo", "test", "lint", "bench", "docs", "clean", "help"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:.*## .+$", makefile, re.MULTILINE), f"`make help` says nothing about {target}"


def test_make_bench_leaves_out_what_wants_a_model_data_or_a_video():
    makefile = (PROJECT / "Makefile").read_text()
    [names] = re.findall(r"filter-out \$\(addprefix benchmarks/,(.+?)\)", makefile, re.DOTALL)
    left_out = set(names.replace("\\", " ").split())
    scripts = {path.name: path.read_text() for path in (PROJECT / "benchmarks").glob("*.py")}
    scripts = {name: text for name, text in scripts.items() if "__main__" in text}
    wants = re.compile(
        r"""required=True|add_argument\("[a-z]|Path = Path\("data/|sys\.argv\[1:\]|"VIDEOLAVIT_VIDEOS"|Positional\["""
    )
    wanting = {name for name, text in scripts.items() if wants.search(text)}
    assert {"adaptive_keyframes.py", "front_end.py", "ranking_drafts.py", "remembering.py"} <= wanting <= left_out
    assert left_out <= set(scripts)
    for name in left_out:
        assert f"benchmarks/{name}" in ast.get_docstring(ast.parse(scripts[name])), f"{name} tells no command"


def test_the_workflow_runs_what_ci_runs():
    assert "run: .ci/run" in (PROJECT / ".github" / "workflows" / "ci.yml").read_text()
    lint, slow, *others = re.findall(r"^make .+$", (PROJECT / ".ci" / "run").read_text(), re.MULTILINE)
    assert (lint, *others) == ("make lint", "make test-browser", "make test-annotations", "make test")
    folders = re.fullmatch(r'make test-slow SLOW="(.+)"', slow)[1].split()
    assert all((PROJECT / folder).is_dir() for folder in folders)


def test_nothing_lies_in_the_repository_that_a_run_has_left():
    tracked = {path.relative_to(PROJECT) for path in files_under_version_control()}
    folders = {path.parts[0] for path in tracked if len(path.parts) > 1}
    expected = "benchmarks deploy docs examples notebooks recipes tests videolavit".split()  # noqa: SIM905
    assert folders == {*expected, ".ci", ".github"}
    assert [path for path in tracked if path.suffix in (".jsonl", ".log", ".partial")] == []


def test_no_file_is_large():
    model = PROJECT / "videolavit" / "assets"
    files = [path for path in files_under_version_control() if path.is_file()]
    assert [path.name for path in files if path.stat().st_size > 2 * 2**20 and model not in path.parents] == []
    for name, most in (("tiny", 60e6), ("things", 80e6)):
        own = [path.stat().st_size for path in files if model / name in path.parents]
        assert sum(own) <= most, f"the shipped model {name}"
        assert max(own, default=0) <= 16e6, f"a file of the shipped model {name}"


# Written in pieces, so that this file is not among those that it finds.
UNWANTED = ["shell" + "=True", "weights_only" + "=False", "allow_pickle" + "=True", "except" + ":"]


@pytest.mark.parametrize("text", UNWANTED)
def test_no_source_contains(text):
    sources = [path for path in files_under_version_control() if path.suffix == ".py" and path.is_file()]
    assert [path.name for path in sources if text in path.read_text()] == []


def test_state_dicts_are_loaded_strictly():
    sources = [path for path in files_under_version_control() if path.suffix == ".py" and path.is_file()]
    loose = re.compile(r"load_state_dict\([^)]*strict\s*=\s*False")
    assert [path.name for path in sources if loose.search(path.read_text())] == []


DISTRIBUTIONS = {"PIL": "pillow", "OpenEXR": "openexr", "prometheus_client": "prometheus-client"}
"""Modules that are named otherwise than the package that holds them."""

HOSTS = {"lmms_eval"}
"""Programs that load this package as their plug-in: only they import what is imported of them."""


def imported_modules() -> dict[str, str]:
    """Every module of another package that a file imports, with one file that does."""
    found = {}
    for path in sorted((PROJECT / "videolavit").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            found |= {name.partition(".")[0]: str(path.relative_to(PROJECT)) for name in names}
    ours = sys.stdlib_module_names | {"videolavit"} | HOSTS
    return {name: path for name, path in found.items() if name not in ours}


def test_every_import_is_declared():
    project = PYPROJECT["project"]
    for_users = {name: lines for name, lines in project["optional-dependencies"].items() if name not in FOR_DEVELOPERS}
    lines = [*project["dependencies"], *(line for extra in for_users.values() for line in extra)]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    used = {canonicalize_name(DISTRIBUTIONS.get(name, name)): path for name, path in imported_modules().items()}
    assert {name: path for name, path in used.items() if name not in declared} == {}
    read_by_others = {"protobuf", "sentencepiece", "tensorboard", "uvicorn", "python-multipart", "mcp", "videolavit"}
    assert declared - set(used) <= read_by_others, "declared and imported nowhere"
