"""The wheel holds the package and its model, and says what it needs; benchmarks/installation.py installs it."""

from __future__ import annotations

import email
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest
from pages import PROJECT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # in the checkout, a build folder would stay, and with it modules that were removed
    shutil.copytree(PROJECT / "videolavit", source / "videolavit", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(PROJECT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, str(source), "-w", str(folder)], check=True)
    [path] = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_it_holds_every_module_and_the_model_and_nothing_else(wheel):
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    modules = {str(path.relative_to(PROJECT)) for path in (PROJECT / "videolavit").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    others = {name for name in names if not name.endswith(".py")}
    assert "videolavit/py.typed" in others
    assert "videolavit/assets/tiny/config.json" in others
    assert all(name.startswith("videolavit/assets/") for name in others - {"videolavit/py.typed"})


def test_its_metadata_are_those_of_the_project(wheel):
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = email.message_from_string(wheel.read(name).decode())
    assert set(metadata.get_all("Provides-Extra")) == set(PYPROJECT["optional-dependencies"])
    assert {line.split(", ")[0] for line in metadata.get_all("Project-URL")} == set(PYPROJECT["urls"])
    assert set(metadata.get_all("License-File")) == {"LICENSE", "NOTICE"}
    assert metadata["Requires-Python"] == PYPROJECT["requires-python"]
    needed = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert len(needed) == len(PYPROJECT["dependencies"])


def test_it_names_its_commands_and_plug_ins(wheel):
    [name] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "videolavit = videolavit.__main__:main" in wheel.read(name).decode()
