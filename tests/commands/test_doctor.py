"""`videolavit doctor`: what it says of a checkpoint is what loading it then takes."""

from __future__ import annotations

import json
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import torch
from checkpoints.small_release import write_playable_release
from packaging.requirements import Requirement

from videolavit import cli
from videolavit.checkpoints import COMPONENTS, load_component, open_checkpoint
from videolavit.checkpoints.footprint import TASKS
from videolavit.commands._shared.installed import FOR_DEVELOPERS, extras_for_users, libraries


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_playable_release(tmp_path_factory.mktemp("doctor") / "checkpoint")


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict]:
    code = cli.main(["doctor", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_parts_take_the_memory_that_it_says(dtype, checkpoint, capsys):
    options = [] if dtype is None else ["--dtype", str(dtype).removeprefix("torch.")]
    code, told = report(capsys, "--model", str(checkpoint), "--device", "cpu", *options)
    assert (code, told["problems"]) == (0, [])
    source = open_checkpoint(checkpoint)
    assert set(told["model"]["parts"]) == set(source.held()) & set(COMPONENTS)
    for name, size in told["model"]["parts"].items():
        tensors = load_component(source.part(name), dtype=dtype).state_dict().values()
        assert size["bytes"] == sum(tensor.nbytes for tensor in tensors), name
        assert size["parameters"] == sum(tensor.numel() for tensor in tensors), name
    parts = {name: size["bytes"] for name, size in told["model"]["parts"].items()}
    assert told["model"]["task_bytes"]["image"] == sum(parts[name] for name in TASKS["image"])
    assert told["model"]["task_bytes"]["answer"] == sum(parts[f"answering_{name}"] for name in TASKS["answer"])


def test_a_part_that_is_missing_is_told_for_each_task_that_needs_it(tmp_path, capsys):
    folder = write_playable_release(tmp_path / "checkpoint")
    (folder / "motion_tokenizer.bin").unlink()
    code, told = report(capsys, "--model", str(folder))
    assert code == 1
    missing = {task for task, names in told["model"]["missing"].items() if names}
    assert missing == {task for task, names in TASKS.items() if "motion_tokenizer" in names} - {"answer"}
    assert "video: cannot be done, the checkpoint has no motion_tokenizer" in told["problems"]
    assert cli.main(["doctor", "--model", str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "problems" in lines
    assert any(line.startswith("  image ") for line in lines)
    assert not any(line.startswith("  video ") for line in lines)


def test_a_damaged_checkpoint_is_a_problem_and_the_rest_is_told(tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"format": "videolavit", "format_version": 99}')
    code, told = report(capsys, "--model", str(tmp_path))
    assert code == 1
    assert told["model"] is None
    assert "format version 99" in told["problems"][-1]
    assert {library["name"] for library in told["libraries"]} >= {"torch", "av", "gradio"}
    assert told["machine"]["cores"] >= 1


def test_what_is_no_folder_is_refused(capsys):
    assert cli.main(["doctor", "--model", "owner/name"]) == 2
    assert "owner/name: is no folder" in capsys.readouterr().err


def test_libraries_that_are_old_or_missing_are_problems(monkeypatch):
    asked = ["torch>=2.6", "av>=18", 'gradio>=6; extra == "web"', 'peft>=1; extra == "train"', 'ruff; extra == "dev"']
    there = {"torch": "2.13.0+cpu", "av": "17.9", "peft": "0.5"}

    def version(name: str) -> str:
        if name not in there:
            raise metadata.PackageNotFoundError(name)
        return there[name]

    monkeypatch.setattr("importlib.metadata.requires", lambda _: asked)
    monkeypatch.setattr("importlib.metadata.metadata", lambda _: _Extras("train", "web", "dev"))
    monkeypatch.setattr("importlib.metadata.version", version)
    found = {library.name: library for library in libraries()}
    assert set(found) == {"torch", "av", "gradio", "peft"}
    assert {name for name, library in found.items() if library.is_problem} == {"av", "peft"}
    assert not found["gradio"].fits
    assert found["gradio"].advice == "pip install 'videolavit[web]'"


class _Extras:
    """Metadata that name extras and nothing else."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def get_all(self, name: str) -> list[str]:
        assert name == "Provides-Extra"
        return list(self.names)


def test_an_extra_that_takes_another_along_needs_its_libraries(monkeypatch):
    asked = ['fastapi>=1; extra == "serve"', 'package[serve]; extra == "ray"', 'ray>=2; extra == "ray"']
    asked += ['package[ray]; extra == "cloud"', "av"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: asked)
    monkeypatch.setattr("importlib.metadata.metadata", lambda _: _Extras("ray", "serve", "cloud"))
    found = {library.name: library for library in libraries("package")}
    assert set(found) == {"fastapi", "ray", "av"}
    assert (found["av"].extras, found["ray"].extras) == ((), ("ray", "cloud"))
    assert found["fastapi"].extras == ("serve", "ray", "cloud")
    assert found["fastapi"].advice == "pip install 'videolavit[serve]'"


def test_extras_are_those_that_the_project_has():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    named = set(project["optional-dependencies"]) - FOR_DEVELOPERS
    if set(metadata.metadata("videolavit").get_all("Provides-Extra")) != set(project["optional-dependencies"]):
        pytest.skip("the package was installed before pyproject.toml changed")
    assert set(extras_for_users()) == named
    [everything] = [Requirement(line) for line in project["optional-dependencies"]["all"]]
    assert everything.extras == named - {"quantize"}  # for CUDA alone, and diffusers starts later where it is installed
    for line in [line for name in named for line in project["optional-dependencies"][name]]:
        wanted = Requirement(line)
        assert wanted.name == "videolavit" or wanted.name in {library.name for library in libraries()}


def test_a_package_that_is_not_installed_asks_for_nothing(monkeypatch):
    assert libraries("surely-not-installed") == []


def test_damaged_files_of_a_model_are_named(tmp_path, capsys):
    import shutil

    from videolavit.checkpoints import native
    from videolavit.shipped import shipped_model

    folder = tmp_path / "model"
    shutil.copytree(shipped_model(), folder)
    path = folder / "motion_tokenizer.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    code, told = report(capsys, "--model", str(folder))
    assert code == 1
    assert any("motion_tokenizer.safetensors: is damaged" in problem for problem in told["problems"])
    assert native.NativeCheckpoint(native.Source(folder)).damaged().keys() == {"motion_tokenizer.safetensors"}


def test_a_named_extra_that_is_missing_is_a_problem(capsys, monkeypatch):
    from videolavit.commands import doctor

    absent = doctor.Library(name="x", needed=">=1", extras=("heic",), version=None, fits=False)
    monkeypatch.setattr(doctor, "libraries", lambda: [absent])
    monkeypatch.setattr(doctor, "extras_for_users", lambda: ("train", "heic"))
    assert report(capsys)[0] == 0
    code, told = report(capsys, "heic")
    assert code == 1
    assert told["problems"] == ["x is missing, expected >=1: pip install 'videolavit[heic]'"]
    assert cli.main(["doctor", "cooking"]) == 2
    assert "no extra cooking; known are train, heic" in capsys.readouterr().err
