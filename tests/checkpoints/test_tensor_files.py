"""Reading tensor files: lazily, and never anything that is not a plain file of tensors."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from videolavit.checkpoints.files import find_tensors, open_tensors, rename, stored
from videolavit.checkpoints.writing import new_folder, write_pickled, write_safetensors
from videolavit.errors import CheckpointError, OutputError

TENSORS = {
    "a.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "b": torch.tensor(3, dtype=torch.int64),
    "c": torch.zeros(0, 4, dtype=torch.bfloat16),
    "d": torch.tensor([True, False]),
    "e": torch.randn(5, 1, generator=torch.Generator().manual_seed(0)).half(),
}


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("code-has-run",)


def save(path: Path, tensors=TENSORS) -> Path:
    save_file(tensors, path) if path.suffix == ".safetensors" else torch.save(tensors, path)
    return path


@pytest.mark.parametrize("name", ["x.safetensors", "x.bin", "x.pt"])
def test_a_file_gives_shapes_at_once_and_values_on_demand(tmp_path, name):
    tensors = open_tensors(save(tmp_path / name))
    assert {key: (tensor.shape, tensor.dtype) for key, tensor in tensors.items()} == {
        key: (tuple(value.shape), value.dtype) for key, value in TENSORS.items()
    }
    assert all(torch.equal(tensors[key].load(), value) for key, value in TENSORS.items())
    assert all(tensor.where == str(tmp_path / name) for tensor in tensors.values())


def test_a_pickle_in_the_old_form_of_pytorch_is_read_as_well(tmp_path):
    torch.save(TENSORS, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    tensors = open_tensors(tmp_path / "old.bin")
    assert all(torch.equal(tensors[key].load(), value) for key, value in TENSORS.items())


@pytest.mark.parametrize("name", ["x.safetensors", "x.bin"])
def test_changing_a_loaded_tensor_leaves_the_file_alone(tmp_path, name):
    path = save(tmp_path / name)
    before = path.read_bytes()
    open_tensors(path)["a.weight"].load().add_(1)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["x.safetensors", "x.bin"])
def test_values_are_right_after_the_mapping_was_opened_anew(tmp_path, name, monkeypatch):
    monkeypatch.setattr("videolavit.checkpoints.files.REOPEN_AFTER_BYTES", 8)
    tensors = open_tensors(save(tmp_path / name))
    first = tensors["a.weight"].load()
    assert all(torch.equal(tensors[key].load(), value) for key, value in TENSORS.items())
    assert torch.equal(first, TENSORS["a.weight"])


@pytest.mark.parametrize("write", [write_safetensors, write_pickled])
def test_written_files_hold_the_same_bits(tmp_path, write, monkeypatch):
    monkeypatch.setattr("videolavit.checkpoints.writing.REOPEN_AFTER_BYTES", 8)
    path = tmp_path / ("x.safetensors" if write is write_safetensors else "x.bin")
    write(path, stored(TENSORS, "memory"))
    read = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    for key, value in TENSORS.items():
        assert read[key].dtype == value.dtype
        assert torch.equal(read[key], value)


def sharded(folder: Path, suffix: str) -> Path:
    save(folder / f"model-1{suffix}", {"a": torch.zeros(2)})
    save(folder / f"model-2{suffix}", {"b": torch.ones(3)})
    index = folder / f"model{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"a": f"model-1{suffix}", "b": f"model-2{suffix}"}}))
    return index


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_shards_are_one_set_of_tensors(tmp_path, suffix):
    index = sharded(tmp_path, suffix)
    assert find_tensors(tmp_path, "model") == index
    tensors = open_tensors(index)
    assert {key: tensor.load().tolist() for key, tensor in tensors.items()} == {"a": [0, 0], "b": [1, 1, 1]}
    assert tensors["b"].where == str(tmp_path / f"model-2{suffix}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight_map": {"a": "model-1.bin", "b": "gone.bin"}}, "gone.bin, which is not there"),
        ({"weight_map": {"a": "model-1.bin", "b": "../model-2.bin"}}, "not a plain file name"),
        ({"weight_map": {"a": "model-1.bin", "b": "model-1.bin"}}, "'b' missing from the shard"),
        ({"weight_map": {"a": "model-2.bin"}}, "'b' not in the index"),
        ({"weight_map": []}, "not an index"),
        ({}, "not an index"),
    ],
)
def test_a_wrong_index_is_refused(tmp_path, change, message):
    index = sharded(tmp_path, ".bin")
    index.write_text(json.dumps(change))
    with pytest.raises(CheckpointError, match=message) as caught:
        open_tensors(index)
    assert str(index) in str(caught.value)


def test_an_index_that_is_no_json_is_refused(tmp_path):
    (tmp_path / "model.bin.index.json").write_text("<html>")
    with pytest.raises(CheckpointError, match="not an index"):
        open_tensors(tmp_path / "model.bin.index.json")


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>not found</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "Git LFS pointer"),
        (b"key,value\n1,2\n" * 20, "is not"),
        (bytes(range(1, 256)) * 8, "is not"),
    ],
)
def test_a_file_of_another_kind_is_named_for_what_it_is(tmp_path, suffix, content, message):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        open_tensors(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, suffix, share):
    path = save(tmp_path / f"x{suffix}", {"a": torch.randn(100, 100), "b": torch.randn(2000)})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="truncated or damaged") as caught:
        open_tensors(path)
    assert str(path) in str(caught.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("save_with", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path, save_with, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_with({"a": RunsCode()}, tmp_path / "x.bin")
    with pytest.raises(CheckpointError, match=r"x\.bin: ") as caught:
        open_tensors(tmp_path / "x.bin")
    assert "refused" in str(caught.value)
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "code-has-run").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [([torch.zeros(2)], "holds a list"), ({"state_dict": {"a": torch.zeros(2)}}, "'state_dict' is a dict")],
)
def test_a_pickle_of_something_else_than_tensors_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "x.bin")
    with pytest.raises(CheckpointError, match=message):
        open_tensors(tmp_path / "x.bin")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"gone\.bin: no such file"):
        open_tensors(tmp_path / "gone.bin")


def test_two_keys_that_mean_the_same_are_refused():
    with pytest.raises(CheckpointError, match="'b' and 'c' both mean 'x'"):
        rename(stored({"b": torch.zeros(1), "c": torch.zeros(1)}, "memory"), lambda _: "x")


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "target"
    with pytest.raises(OutputError), new_folder(target) as folder:
        folder.write_text("no file")
    assert list(target.parent.iterdir()) == []
    with new_folder(target) as folder:
        (folder / "x").write_text("whole")
    assert (target / "x").read_text() == "whole"
    with pytest.raises(CheckpointError, match="exists already"), new_folder(target):
        pass
    with new_folder(target, overwrite=True) as folder:
        (folder / "y").write_text("new")
    assert [path.name for path in target.iterdir()] == ["y"]
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_a_link_to_a_folder_stays_and_the_folder_is_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    link = tmp_path / "model"
    link.symlink_to(tmp_path / "disk" / "model")
    for name in ("first", "second"):
        with new_folder(link, overwrite=True) as folder:
            (folder / name).write_text("whole")
        assert link.is_symlink()
        assert [path.name for path in (tmp_path / "disk" / "model").iterdir()] == [name]
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["model"]
