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


def sample(layers: np.ndarray | None, seed: int = 0, forms: np.ndarray | None = None) -> ClipSample:
    random = np.random.default_rng(seed)
    frames = random.integers(0, 256, (24, 32, 32, 3)).astype(np.uint8)
    motion = MotionField(values=random.normal(size=(2, 24, 4, 4)).astype(np.float32), height=32, width=32)
    return ClipSample(keyframe=frames[0], frames=frames, motion=motion, layers=layers, forms=forms)


def unchanged() -> np.ndarray:
    """Forms of the ground and of one thing that stay as they are."""
    forms = np.full((3, 3, 24), np.nan, np.float32)
    forms[:2] = np.array([1, 0, 1], np.float32)[:, None]
    return forms


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
    grown = unchanged()
    grown[1, 0] = np.linspace(1, 1.5, 24)
    module = STAGE.build()
    batch = STAGE.collate([sample(None, forms=grown)])
    batch["motion"].zero_()
    expected = (
        np.square(np.log(grown[1, 0, 1:])).mean() / 2
    )  # none of the ground, and all of the thing: it stands still
    module.stage = replace(STAGE, frames_per_clip=23)
    assert module(batch, 0)["error_of_sizes"].item() == pytest.approx(expected, rel=0.01)
    optimiser = torch.optim.Adam(module.network.growth.parameters(), lr=1e-2)
    for step in range(60):
        optimiser.zero_grad()
        module(batch, step)["loss"].backward()
        optimiser.step()
    assert module(batch, 0)["error_of_sizes"] < 0.3 * expected


@pytest.mark.slow
def test_things_learn_to_rotate_and_to_turn_round():
    """Of two clips with other motion, the thing of one rotates by a radian, that of the other turns its other side."""
    rotated, turned = unchanged(), unchanged()
    rotated[1, 1] = np.linspace(0, 1, 24)
    turned[1, 2] = np.cos(np.pi * np.clip((np.arange(24) - 8) / 8, 0, 1))
    stage = replace(STAGE, frames_per_clip=23)
    module = stage.build()
    batch = stage.collate([sample(None, 0, rotated), sample(None, 1, turned)])
    before = module(batch, 0)
    # Of two things one does, of which the network is as sure as its bias of -2 says; and it says nothing of how.
    unsure = np.mean([np.log1p(np.exp(-2)), 3 * np.log1p(np.exp(2))])  # yes counts three times
    expected = unsure + np.square(rotated[1, 1, 1:]).mean()
    assert before["error_of_angles"].item() == pytest.approx(expected, rel=0.01)
    assert before["error_of_turning"] > unsure
    optimiser = torch.optim.Adam(module.network.turning.parameters(), lr=1e-2)
    for step in range(200):
        optimiser.zero_grad()
        module(batch, step)["loss"].backward()
        optimiser.step()
    forms = module.network(signed_images(batch["keyframes"], torch.device("cpu")), module.motion_of(batch)).forms
    assert (forms.turns[:, :2] > 0).tolist() == [[False, False], [False, True]]  # the third layers are unknown
    assert (forms.rotates[:, :2] > 0).tolist() == [[False, True], [False, False]]
    assert forms.angle[0, -1, 1].item() == pytest.approx(1, abs=0.1)
    assert forms.angle[1, -1, 1] == 0
    assert np.abs(forms.width[1, :, 1].detach().numpy() - turned[1, 2]).max() < 0.25
    assert torch.equal(forms.width[0], torch.ones_like(forms.width[0]))


def test_turning_alone_leaves_all_else_as_it_is():
    stage = replace(STAGE, turning_alone=True)
    module = stage.build()
    told = module(stage.collate([sample(None, 0, unchanged()), sample(None, 1)]), 0)
    assert set(told) == {"loss", "error_of_sizes", "error_of_angles", "error_of_turning"}
    learnt = {name.split(".")[0] for name, value in module.network.named_parameters() if value.requires_grad}
    assert learnt == {"turning"}
    told["loss"].backward()
    assert module.network.turning[-1].bias.grad.abs().sum() > 0


def test_forms_that_are_not_known_cost_nothing():
    told = loss_of(sample(None))
    assert told["error_of_sizes"] == told["error_of_angles"] == told["error_of_turning"] == 0
    half_known = unchanged()
    half_known[1, 2] = np.nan
    told = loss_of(sample(None, forms=half_known))
    assert told["error_of_turning"] == 0
    assert told["error_of_angles"].isfinite()


def test_one_batch_may_hold_both_kinds():
    batch = STAGE.collate([sample(np.zeros((4, 4), np.int8)), sample(None)])
    assert batch["layers"].shape == (2, 4, 4)
    assert batch["layers"][1].unique().tolist() == [-1]
    with pytest.raises(ConfigError, match="frames_per_clip at least 1"):
        replace(STAGE, frames_per_clip=0)
