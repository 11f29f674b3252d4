"""Motion compensation: what must hold for every image, grid and motion."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from videolavit.clip import Clip, MotionField
from videolavit.errors import ShapeError
from videolavit.video.motion.warp import warp

BLENDS = ["overlapped", "blocks", "smooth"]
sizes = st.integers(1, 70)
counts = st.integers(1, 9)
few = settings(max_examples=40, deadline=None)


def image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def constant_motion(
    x: float, y: float, *, frames: int = 3, grid=(3, 4), height: int = 48, width: int = 64
) -> MotionField:
    values = np.zeros((2, frames, *grid), np.float32)
    values[0], values[1] = x, y
    return MotionField(values=values, height=height, width=width)


def moved(keyframe: np.ndarray, x: int, y: int) -> np.ndarray:
    """The image moved by whole pixels, its edge repeated: the definition, without any blocks."""
    height, width = keyframe.shape[:2]
    return keyframe[np.clip(np.arange(height) - y, 0, height - 1)][:, np.clip(np.arange(width) - x, 0, width - 1)]


@pytest.mark.parametrize("blend", BLENDS)
@few
@given(height=sizes, width=sizes, rows=counts, cols=counts)
def test_without_motion_every_frame_is_the_keyframe(blend, height, width, rows, cols):
    keyframe = image(height, width)
    motion = constant_motion(0, 0, frames=4, grid=(rows, cols), height=height, width=width)
    assert (warp(keyframe, motion, blend=blend) == keyframe).all()


@pytest.mark.parametrize("blend", BLENDS)
@few
@given(
    height=sizes,
    width=sizes,
    rows=st.integers(1, 9),
    cols=st.integers(1, 9),
    x=st.integers(-99, 99),
    y=st.integers(-99, 99),
)
def test_constant_motion_by_whole_pixels_moves_pixels_exactly(blend, height, width, rows, cols, x, y):
    keyframe = image(height, width)
    motion = constant_motion(x, y, grid=(rows, cols), height=height, width=width)
    frames = warp(keyframe, motion, blend=blend)
    assert (frames[0] == keyframe).all()
    assert (frames[1] == moved(keyframe, x, y)).all()
    assert (frames[2] == moved(frames[1], x, y)).all()


def test_half_a_pixel_is_the_mean_of_two():
    keyframe = image(48, 64)
    expected = (keyframe[:, 8:40].astype(int) + keyframe[:, 7:39] + 1) // 2
    frames = warp(keyframe, constant_motion(0.5, 0), blend="blocks")
    assert (frames[1][:, 8:40] == expected).all()


def test_each_block_moves_by_its_own_vector():
    keyframe = image(48, 64)
    motion = constant_motion(0, 0)
    motion.values[:, 1, 1, 2] = 5, -3
    frames = warp(keyframe, motion, blend="blocks")
    assert (frames[1][16:32, 32:48] == keyframe[19:35, 27:43]).all()
    frames[1][16:32, 32:48] = keyframe[16:32, 32:48]
    assert (frames[1] == keyframe).all()


def test_overlapped_blocks_meet_without_an_edge():
    ramp = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 48, 0).repeat(3, 2)
    motion = constant_motion(0, 0)
    motion.values[0, 1, :, 2:] = 8
    steps = [np.abs(np.diff(warp(ramp, motion, blend=blend)[1].astype(int), axis=1)).max() for blend in BLENDS[:2]]
    assert steps[0] <= 6 < 25 < steps[1]


def test_vectors_scale_with_the_image():
    large = image(96, 128)
    frames = warp(large, constant_motion(3, -2))
    assert (frames[1] == moved(large, 6, -4)).all()


def test_the_grid_may_be_that_of_the_tokenizer():
    keyframe = image(270, 480)
    motion = MotionField.from_tokenizer_units(np.zeros((2, 24, 20, 36), np.float32), height=270, width=480)
    assert (warp(keyframe, motion) == keyframe).all()


def test_motion_of_the_keyframe_is_not_used():
    keyframe = image(48, 64)
    motion = constant_motion(0, 0)
    motion.values[:, 0] = 7
    assert (warp(keyframe, motion) == keyframe).all()


def test_a_clip_is_as_good_as_its_motion():
    keyframe, motion = image(48, 64), constant_motion(2, 1)
    clip = Clip(keyframe=keyframe, motion=motion, start=0, fps=Fraction(6), num_real_frames=3)
    assert (warp(keyframe, clip) == warp(keyframe, motion)).all()


@few
@given(values=st.floats(width=32), seed=st.integers(0, 99))
def test_no_motion_whatever_breaks_it(values, seed):
    motion = constant_motion(0, 0)
    motion.values[:, 1:, seed % 3, seed % 4] = values
    assert warp(image(48, 64), motion).shape == (3, 48, 64, 3)


def test_what_is_no_image_is_refused():
    with pytest.raises(ShapeError, match=r"got a keyframe \(0, 64, 3\) uint8, expected"):
        warp(image(0, 64), constant_motion(0, 0))


@pytest.mark.parametrize("name", ["pancake.mkv", "vlv_9.mp4"])
def test_on_real_clips_it_beats_standing_still_and_overlapping_beats_blocks(videos, name):
    from videolavit.video import Frames, decompose
    from videolavit.video.clips.timeline import images_on_ticks

    images = list(images_on_ticks(videos / name))[:25]
    [clip] = decompose(Frames(images=images, fps=6), select="every 9")
    frames = {blend: warp(clip.keyframe, clip, blend=blend) for blend in ("overlapped", "blocks")}
    scores = {blend: mean_psnr(warped, images) for blend, warped in frames.items()}
    still = mean_psnr([clip.keyframe] * 24, images)
    assert scores["overlapped"] > scores["blocks"] > still + 0.3


def mean_psnr(frames, images) -> float:
    errors = [np.square(a.astype(float) - b).mean() for a, b in zip(frames[1:], images[1:24], strict=True)]
    return float(np.mean(10 * np.log10(255**2 / np.array(errors))))
