"""Plain compensation in floating point: frames are those of the codec's arithmetic, and motion is counted."""

from __future__ import annotations

import numpy as np
import torch

from videolavit.clip import MOTION_STD, MotionField
from videolavit.tiny.block_motion import moved_in_blocks
from videolavit.video.motion.warp import warp


def test_frames_are_those_of_warp():
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (8, 6, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)  # 64 x 48
    values = random.normal(0, 1.5, (2, 6, 8, 6)).astype(np.float32)
    expected = warp(image, MotionField(values=values, height=64, width=48))
    sides = values / np.array([48, 64], np.float32).reshape(2, 1, 1, 1)
    motion = torch.from_numpy(sides / np.array(MOTION_STD, np.float32).reshape(2, 1, 1, 1))[None]
    keyframes = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    frames = moved_in_blocks(keyframes, motion)[0].permute(0, 2, 3, 1).numpy()
    difference = np.abs(frames - expected)
    assert difference.mean() < 1.5  # warp rounds colours down, and vectors to sixteenths of a pixel, frame by frame
    assert np.abs(frames[0] - image).max() == 0


def test_how_far_things_have_come_is_counted():
    motion = torch.full((1, 2, 5, 4, 4), 0.5)
    values = torch.zeros(1, 6, 32, 32)
    moved = moved_in_blocks(values, motion, further=4.0)
    step = torch.tensor(MOTION_STD) * 0.5
    for t in range(5):
        assert torch.allclose(moved[0, t, 3:5, 16, 16], 4 * t * step, atol=1e-5)
    assert moved[:, :, [0, 1, 2, 5]].abs().max() == 0
