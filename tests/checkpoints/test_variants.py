"""Files as other tools write them: variants, wrappers, and buffers that are computed today."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from videolavit.checkpoints.files import find_tensors, open_tensors
from videolavit.checkpoints.loading import build_on_meta, load_into
from videolavit.errors import CheckpointError

TENSORS = {"conv.weight": torch.arange(6.0).reshape(2, 3), "conv.bias": torch.ones(2)}


def read(path):
    return {key: tensor.load() for key, tensor in open_tensors(path).items()}


def assert_same(read, expected=TENSORS):
    assert read.keys() == expected.keys()
    assert all(torch.equal(read[key], value) for key, value in expected.items())


@pytest.mark.parametrize(
    "name", ["diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.bf16.safetensors"]
)
def test_a_variant_is_found_where_there_is_no_other(tmp_path, name):
    save_file(TENSORS, tmp_path / name)
    assert_same(read(find_tensors(tmp_path, "diffusion_pytorch_model")))
    save_file(TENSORS, tmp_path / "diffusion_pytorch_model.safetensors")
    assert find_tensors(tmp_path, "diffusion_pytorch_model").name == "diffusion_pytorch_model.safetensors"


def test_shards_of_a_variant(tmp_path):
    for number, key in enumerate(TENSORS, start=1):
        save_file({key: TENSORS[key]}, tmp_path / f"model.fp16-0000{number}-of-00002.safetensors")
    files = {key: f"model.fp16-0000{number}-of-00002.safetensors" for number, key in enumerate(TENSORS, start=1)}
    (tmp_path / "model.safetensors.index.fp16.json").write_text(json.dumps({"weight_map": files}))
    assert_same(read(find_tensors(tmp_path, "model")))


@pytest.mark.parametrize(
    "wrapped", ["module.{}", "_orig_mod.{}", "module._orig_mod.{}", "_orig_mod.module.{}", "module.module.{}"]
)
@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_wrappers_of_training_are_taken_off(tmp_path, wrapped, form):
    tensors = {wrapped.format(key): value for key, value in TENSORS.items()}
    path = tmp_path / f"model.{form}"
    save_file(tensors, path) if form == "safetensors" else torch.save(tensors, path)
    assert_same(read(path))


def test_compiled_parts_within_a_model(tmp_path):
    save_file({"unet._orig_mod.a": torch.ones(1), "module.b": torch.ones(1)}, tmp_path / "a.safetensors")
    assert set(read(tmp_path / "a.safetensors")) == {"unet.a", "module.b"}  # a module of that name, not a wrapper


def test_two_keys_that_become_one_are_an_error(tmp_path):
    save_file({"_orig_mod.a": torch.ones(1), "a": torch.ones(1)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="both mean 'a'"):
        open_tensors(tmp_path / "a.safetensors")


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Linear(3, 2)


def test_buffers_that_are_computed_today_are_left_out(tmp_path):
    old = {**TENSORS, "layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    save_file(old, tmp_path / "a.safetensors")
    module = build_on_meta(Attention)
    load_into(module, open_tensors(tmp_path / "a.safetensors"), name="it", origin=lambda key: ("a", key))
    assert_same(module.state_dict())
    save_file({**TENSORS, "other": torch.ones(1)}, tmp_path / "b.safetensors")
    with pytest.raises(CheckpointError, match="key 'other' is unexpected"):
        load_into(
            build_on_meta(Attention), open_tensors(tmp_path / "b.safetensors"), name="it", origin=lambda key: ("b", key)
        )
