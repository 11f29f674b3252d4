"""Learned motion compensation: what it is before training, what it learns, and how it goes into a file and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from videolavit.checkpoints.artifacts import load_artifact, write_artifact
from videolavit.clip import MOTION_STD
from videolavit.errors import ConfigError, ShapeError
from videolavit.tiny.block_motion import moved_in_blocks
from videolavit.tiny.learned_compensation import (
    LearnedCompensation,
    LearnedCompensationConfig,
    chained_displacement,
    moved,
)

SMALL = LearnedCompensationConfig(width=16, blocks=1)


def sliding(frames: int = 6, size: int = 32, cells: int = 4, across: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Keyframes that slide to the right as a whole, by `across` pixels a frame, and their motion."""
    axis = torch.linspace(0, 6.28, size)
    keyframe = 0.5 * torch.stack([axis.sin()[None] * axis.cos()[:, None]] * 3)[None]
    motion = torch.zeros(1, 2, frames, cells, cells)
    motion[:, 0] = across / size / MOTION_STD[0]
    return keyframe, motion


def test_before_training_it_moves_the_keyframe_by_its_motion():
    torch.manual_seed(0)
    keyframe, motion = sliding()
    made = LearnedCompensation(SMALL)(keyframe, motion)
    for t in range(motion.shape[2]):
        expected = torch.roll(keyframe, 2 * t, dims=3)
        assert (made.moved[:, t, :, 4:-4, 14:] - expected[..., 4:-4, 14:]).abs().max() < 0.05
    assert made.displacement[0, :, 0].mean((1, 2)).diff().sub(2 / 32).abs().max() < 1e-4
    assert made.uncovered.max() < 0.1


def test_before_training_frames_are_those_of_plain_compensation():
    torch.manual_seed(0)
    keyframe, motion = sliding()
    made, plain = LearnedCompensation(SMALL)(keyframe, motion), moved_in_blocks(keyframe, motion)
    error, distance = (made.frames - plain).abs().mean(), (plain[:, 1:] - keyframe[:, None]).abs().mean()
    assert error < 0.1 * distance


def test_displacement_is_chained_from_frame_to_frame():
    _, motion = sliding(across=1.0)
    chained, steps = chained_displacement(motion, 8, 8)
    assert torch.allclose(steps[:, :, 0], torch.full_like(steps[:, :, 0], 1 / 32))
    assert torch.allclose(chained[0, :, 0, 0, 0], torch.arange(6) / 32, atol=1e-5)


def test_values_are_carried_to_where_the_displacement_says():
    values = torch.zeros(1, 1, 8, 8)
    values[0, 0, 3, 2] = 1
    displacement = torch.zeros(1, 2, 8, 8)
    displacement[:, 0], displacement[:, 1] = 3 / 8, -1 / 8
    carried = moved(values, displacement)
    assert carried[0, 0, 2, 5] == pytest.approx(1, abs=1e-5)
    assert carried.sum() == pytest.approx(1, abs=1e-4)


def test_frames_do_not_depend_on_which_others_are_made():
    torch.manual_seed(0)
    network = LearnedCompensation(SMALL).eval()
    keyframe, motion = sliding()
    whole = network(keyframe.expand(2, -1, -1, -1), motion.expand(2, -1, -1, -1, -1)).frames
    some = network(keyframe, motion, torch.tensor([[4, 1]])).frames
    assert torch.allclose(some[0], whole[1, [4, 1]], atol=1e-5)


def test_it_learns_to_fill_what_is_uncovered():
    torch.manual_seed(0)
    size, frames = 32, 4
    keyframe = torch.full((1, 3, size, size), -0.6)
    keyframe[:, :, 8:24, 4:16] = 0.8  # a bright box before a dark ground slides to the right
    truth = torch.stack([torch.roll(keyframe, 3 * t, dims=3) for t in range(frames)], dim=1)
    motion = torch.zeros(1, 2, frames, 4, 4)
    motion[:, 0, :, 1:3, :3] = 3 / size / MOTION_STD[0]
    network = LearnedCompensation(SMALL)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    before = (network(keyframe, motion).frames - truth).abs().mean().item()
    for _ in range(60):
        loss = (network(keyframe, motion).frames - truth).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.4 * before


def test_a_file_gives_the_same_frames(tmp_path):
    torch.manual_seed(0)
    network = LearnedCompensation(LearnedCompensationConfig(width=16, blocks=1, fills=False)).eval()
    write_artifact(tmp_path, {"video_compensation": network})
    again = load_artifact("video_compensation", tmp_path)
    keyframe, motion = sliding()
    assert torch.equal(again(keyframe, motion).frames, network(keyframe, motion).frames)
    assert again.config == network.config


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="multiple of 16"):
        LearnedCompensationConfig(width=20)
    with pytest.raises(ShapeError, match="multiples of 8"):
        LearnedCompensation(SMALL)(torch.zeros(1, 3, 36, 32), torch.zeros(1, 2, 3, 4, 4))


def test_bfloat16_keeps_places_exact():
    torch.manual_seed(0)
    network = LearnedCompensation(SMALL).eval()
    keyframe, motion = sliding()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        low = network(keyframe, motion)
    assert low.displacement.dtype == torch.float32
    assert np.abs((low.moved - network(keyframe, motion).moved).detach().numpy()).max() < 0.05
