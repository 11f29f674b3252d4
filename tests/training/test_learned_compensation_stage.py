"""The stage of learned motion compensation: its batches, and what its loss says of layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from einops import rearrange

from videolavit.clip import MotionField
from videolavit.data.prepared_clips import ClipSample
from videolavit.detokenizers.vae import signed_images
from videolavit.errors import ConfigError
from videolavit.tiny.learned_compensation import LearnedCompensationConfig, MovedFrames
from videolavit.tokenizers.motion_tokenizer import MotionTokenizerConfig
from videolavit.training.stages.learned_compensation import LearnedCompensationStage

STAGE = LearnedCompensationStage(model=LearnedCompensationConfig(width=8), motion=MotionTokenizerConfig(rows=4, cols=4))


def sample(layers: np.ndarray | None, seed: int = 0, sizes: np.ndarray | None = None) -> ClipSample:
    random = np.random.default_rng(seed)
    frames = random.integers(0, 256, (24, 32, 32, 3)).astype(np.uint8)
    motion = MotionField(values=random.normal(size=(2, 24, 4, 4)).astype(np.float32), height=32, width=32)
    return ClipSample(keyframe=frames[0], frames=frames, motion=motion, layers=layers, sizes=sizes)


def loss_of(*samples: ClipSample, stage: LearnedCompensationStage = STAGE) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return stage.build()(stage.collate(list(samples)), 0)


def test_layers_that_are_not_known_cost_nothing():
    told = loss_of(sample(None), sample(None, 1))
    assert told["error_of_layers"] == 0
    assert told["loss"].isfinite()
    assert torch.equal(
        told["loss"], loss_of(sample(None), sample(None, 1), stage=replace(STAGE, layers_weight=9.0))["loss"]
    )


def test_a_patch_has_to_show_its_layer_by_half():
    module = STAGE.build()
    things = np.ones((4, 4), np.int8)
    with torch.no_grad():
        module.network.layers.weight.zero_()
        for bias, cost in (
            ((0.0, 9.0, 0.0), 0.0),
            ((9.0, 0.0, 0.0), 3 * 8.3),
        ):  # nats, thrice: e^-9 is less than a half
            module.network.layers.bias.copy_(torch.tensor(bias))
            found = module(STAGE.collate([sample(things)]), 0)["error_of_layers"].item()
            assert found == pytest.approx(cost, abs=0.1)


@pytest.mark.slow
def test_clips_learn_which_of_the_two_comes_closer_to_them():
    module = STAGE.build()
    batch = STAGE.collate([sample(None), sample(None, 1)])

    def made() -> MovedFrames:
        with torch.no_grad():
            return module.network(signed_images(batch["keyframes"], torch.device("cpu")), module.motion_of(batch))

    frames = torch.stack([made().blocks[0], made().layered[1]])
    batch["frames"] = rearrange(((frames.clamp(-1, 1) + 1) * 127.5).round().byte(), "b t c h w -> b t h w c")
    assert module(batch, 0)["suits_blocks"] == 0.5
    optimiser = torch.optim.Adam(module.parameters(), lr=3e-3)
    for step in range(40):
        optimiser.zero_grad()
        module(batch, step)["loss"].backward()
        optimiser.step()
    in_blocks, in_layers = made().as_blocks
    assert in_blocks > 0.5 > in_layers


@pytest.mark.slow
def test_layers_have_to_be_of_the_size_that_is_known():
    grown = np.ones((3, 24), np.float32)
    grown[1] = np.linspace(1, 1.5, 24)
    grown[2] = np.nan
    module = STAGE.build()
    batch = STAGE.collate([sample(None, sizes=grown)])
    batch["motion"].zero_()
    expected = np.square(np.log(grown[1, 1:])).mean() / 2  # none of the ground, and of the thing all: it stands still
    module.stage = replace(STAGE, frames_per_clip=23)
    assert module(batch, 0)["error_of_sizes"].item() == pytest.approx(expected, rel=0.01)
    optimiser = torch.optim.Adam(module.network.growth.parameters(), lr=1e-2)
    for step in range(60):
        optimiser.zero_grad()
        module(batch, step)["loss"].backward()
        optimiser.step()
    assert module(batch, 0)["error_of_sizes"] < 0.3 * expected


def test_sizes_that_are_not_known_cost_nothing():
    assert loss_of(sample(None))["error_of_sizes"] == 0


def test_one_batch_may_hold_both_kinds():
    batch = STAGE.collate([sample(np.zeros((4, 4), np.int8)), sample(None)])
    assert batch["layers"].shape == (2, 4, 4)
    assert batch["layers"][1].unique().tolist() == [-1]
    with pytest.raises(ConfigError, match="frames_per_clip at least 1"):
        replace(STAGE, frames_per_clip=0)
