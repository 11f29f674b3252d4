"""Muon moves matrices and convolutions of blocks and nothing else; a run with it resumes to the same bits."""

import json
import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.optim import AdamW
from training.toy import ToyStage

from videolavit.errors import CheckpointError, ConfigError
from videolavit.training import optimisers
from videolavit.training.loop import train
from videolavit.training.muon import Muon
from videolavit.training.optimisers import build_optimisers, optimiser_numbers
from videolavit.training.training_options import TrainingOptions


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 4)
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.frozen = nn.ModuleList([nn.Linear(4, 4)]).requires_grad_(False)
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.table.weight


def moved_by(optimiser):
    return {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}


def test_every_trained_parameter_has_one_optimiser():
    module = Small()
    adamw, muon = build_optimisers(module, TrainingOptions(optimiser="muon"))
    assert (type(adamw), type(muon)) == (AdamW, Muon)
    assert moved_by(muon) == {id(block.weight) for block in module.blocks}
    assert moved_by(adamw) == {id(module.table.weight), *(id(block.bias) for block in module.blocks)}
    [alone] = build_optimisers(module, TrainingOptions())
    assert moved_by(alone) == moved_by(adamw) | moved_by(muon)


def test_a_step_on_matrices_is_torchs():
    torch.manual_seed(0)
    shapes = (4, 4), (3, 7), (9, 2)
    ours, theirs = ([nn.Parameter(torch.ones(shape)) for shape in shapes] for _ in range(2))
    steps = (
        Muon(ours, lr=1e-2, weight_decay=0.1),
        torch.optim.Muon(theirs, lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        for optimiser in steps:
            optimiser.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_moves_as_the_matrix_of_its_output_channels(layout):
    torch.manual_seed(0)
    blocks = nn.ModuleList([nn.Conv2d(3, 5, 3)])
    convolution = blocks[0].to(memory_format=layout)
    matrix = nn.Parameter(convolution.weight.detach().flatten(1).clone())
    _, muon = build_optimisers(blocks, TrainingOptions(optimiser="muon", weight_decay=0.01))
    assert moved_by(muon) == {id(convolution.weight)}
    alone = Muon([matrix], lr=1e-2, weight_decay=0.01)
    muon.param_groups[0]["lr"] = 1e-2
    for _ in range(2):
        convolution.weight.grad = torch.randn(5, 3, 3, 3).to(memory_format=layout)
        matrix.grad = convolution.weight.grad.flatten(1).clone()
        muon.step()
        alone.step()
    torch.testing.assert_close(convolution.weight.flatten(1), matrix)
    assert convolution.weight.is_contiguous(memory_format=layout)


def test_matrices_keep_one_number_each_and_the_rest_two():
    module = Small()
    assert optimiser_numbers(module, TrainingOptions(optimiser="muon")) == 2 * 16 + 2 * (20 + 8)
    assert optimiser_numbers(module, TrainingOptions()) == 2 * (32 + 20 + 8)


def test_updates_have_the_size_of_those_of_adamw():
    torch.manual_seed(0)
    module = Small()
    before = module.blocks[0].weight.detach().clone()
    _, muon = build_optimisers(module, TrainingOptions(optimiser="muon", weight_decay=0.0))
    for group in muon.param_groups:
        group["lr"] = 1e-2
    module.blocks[0].weight.grad = torch.randn(4, 4)
    muon.step()
    step = (module.blocks[0].weight - before).square().mean().sqrt().item()
    assert 0.1 * 1e-2 < step < 0.4 * 1e-2  # 0.2 of the rate, which is what AdamW's come to


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_a_run_stopped_half_way_ends_in_the_same_bits(tmp_path, optimiser):
    stage = ToyStage()
    stage = replace(stage, training=replace(stage.training, optimiser=optimiser, steps=14))
    train(stage, tmp_path / "whole", quiet=True)
    shutil.copytree(tmp_path / "whole/checkpoints/step-00000007", tmp_path / "resumed/checkpoints/step-00000007")
    train(stage, tmp_path / "resumed", quiet=True)
    one, other = (load_file(tmp_path / run / "export" / "weights.safetensors") for run in ("whole", "resumed"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_that_began_with_torchs_muon_goes_on(tmp_path, monkeypatch):
    stage = ToyStage()
    stage = replace(stage, training=replace(stage.training, optimiser="muon", steps=14))
    train(stage, tmp_path / "whole", quiet=True)
    torchs = partial(torch.optim.Muon, lr=0.0, adjust_lr_fn="match_rms_adamw")
    with monkeypatch.context() as patched:
        patched.setattr(optimisers, "Muon", torchs)
        train(stage, tmp_path / "torchs", quiet=True)
    shutil.copytree(tmp_path / "torchs/checkpoints/step-00000007", tmp_path / "resumed/checkpoints/step-00000007")
    train(stage, tmp_path / "resumed", quiet=True)
    one, other = (load_file(tmp_path / run / "export" / "weights.safetensors") for run in ("whole", "resumed"))
    for name in one:
        torch.testing.assert_close(one[name], other[name])


def test_a_run_whose_muon_moved_other_weights_is_refused_in_one_line(tmp_path, monkeypatch):
    stage = ToyStage()
    stage = replace(stage, training=replace(stage.training, optimiser="muon", steps=7))
    with monkeypatch.context() as patched:
        patched.setattr(optimisers, "_inner_matrices", lambda module: {id(module.layers[1].weight)})
        train(stage, tmp_path, quiet=True)
    told = r"step-00000007: is whole, but has no optimiser\.\S+\.momentum_buffer: another version .* to start anew$"
    with pytest.raises(CheckpointError, match=told):
        train(stage, tmp_path, quiet=True)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000007"]


def test_a_run_from_before_there_was_a_choice_goes_on(tmp_path):
    stage = ToyStage()
    train(replace(stage, training=replace(stage.training, steps=14)), tmp_path, quiet=True)
    before = load_file(tmp_path / "export" / "weights.safetensors")
    for file in (tmp_path / "checkpoints").glob("*/run.json"):
        note = json.loads(file.read_text())
        assert note["options"].pop("training.optimiser") == "'adamw'"
        file.write_text(json.dumps(note))
    train(replace(stage, training=replace(stage.training, steps=14)), tmp_path, quiet=True)
    after = load_file(tmp_path / "export" / "weights.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    muon = replace(stage.training, steps=14, optimiser="muon")
    with pytest.raises(CheckpointError, match=r"training\.optimiser: 'adamw' -> 'muon'"):
        train(replace(stage, training=muon), tmp_path, quiet=True)


def test_weights_in_shards_are_not_for_muon(monkeypatch):
    monkeypatch.setattr(optimisers, "DTensor", nn.Parameter)
    with pytest.raises(ConfigError, match=r"add --training\.optimiser adamw"):
        build_optimisers(Small(), TrainingOptions(optimiser="muon"))
    assert build_optimisers(Small(), TrainingOptions())
