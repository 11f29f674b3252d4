"""`videolavit convert` is the library's `convert` with options."""

from __future__ import annotations

import json

import torch
from command_line import one_message, videolavit

from videolavit import cli
from videolavit.checkpoints.convert import convert
from videolavit.checkpoints.files import open_tensors


def tensors(folder):
    files = sorted(folder.rglob("*.safetensors"))
    assert files
    return {(file.relative_to(folder), key): value for file in files for key, value in open_tensors(file).items()}


def test_the_command_writes_what_the_library_writes(small_release, tmp_path, capsys):
    parts = convert(small_release, tmp_path / "library")
    assert cli.main(["convert", str(small_release), str(tmp_path / "command"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parts"] == parts
    by_library, by_command = tensors(tmp_path / "library"), tensors(tmp_path / "command")
    assert by_library.keys() == by_command.keys()
    assert all(torch.equal(by_library[name].load(), by_command[name].load()) for name in by_library)


def test_numbers_can_be_stored_in_another_type(small_release, tmp_path):
    assert cli.main(["convert", str(small_release), str(tmp_path / "half"), "--dtype", "bfloat16"]) == 0
    types = {tensor.dtype for tensor in tensors(tmp_path / "half").values()}
    assert torch.bfloat16 in types


def test_what_is_no_checkpoint_is_told_in_one_message(tmp_path):
    (tmp_path / "empty").mkdir()
    answer = videolavit("convert", tmp_path / "empty", tmp_path / "out")
    assert answer.returncode == 1
    assert str(tmp_path / "empty") in one_message(answer)
    assert not (tmp_path / "out").exists()


def test_a_target_with_something_in_it_is_left_alone(small_release, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("something")
    assert cli.main(["convert", str(small_release), str(tmp_path / "out")]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("videolavit: error: ")
    assert str(tmp_path / "out") in line
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_model_with_one_language_model_answers_with_it_in_the_released_layout_too(tmp_path):
    from videolavit import VideoLaVIT

    assert cli.main(["convert", "tiny", str(tmp_path / "released"), "--layout", "released"]) == 0
    assert VideoLaVIT.from_pretrained(tmp_path / "released").components.answering("language_model") == "language_model"
