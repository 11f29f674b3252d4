"""Edited motion moves things as it should: seen on moving squares, and on what it does to a field."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from videolavit.clip import MotionField
from videolavit.errors import ConfigError
from videolavit.pipeline.motion_editing import MotionEdit, freeze, mirror, reverse, scale
from videolavit.video.motion.warp import warp

SIZE, CELL, FRAMES = 128, 8, 9


def field(speed: tuple[float, float], start: tuple[float, float] | None = None) -> MotionField:
    """Motion of everything, or of a square of 32 pixels that starts at (x, y), in pixels per frame."""
    rows, cols = np.indices((SIZE // CELL, SIZE // CELL))
    values = np.zeros((2, FRAMES, *rows.shape), np.float32)
    for t in range(1, FRAMES):
        moves = np.ones(rows.shape, bool)
        if start is not None:
            left, top = (place + t * step for place, step in zip(start, speed, strict=True))
            moves = (abs((cols + 0.5) * CELL - left - 16) < 20) & (abs((rows + 0.5) * CELL - top - 16) < 20)
        values[:, t] = np.where(moves, np.array(speed, np.float32)[:, None, None], 0)
    return MotionField(values=values, height=SIZE, width=SIZE)


def square(left: int, top: int) -> np.ndarray:
    image = np.full((SIZE, SIZE, 3), 90, np.uint8)
    image[top : top + 32, left : left + 32] = 250
    return image


def leading_edge(frame: np.ndarray) -> tuple[int, int]:
    """Largest column and row that show the square's colour."""
    rows, cols = np.nonzero(frame[..., 0] > 200)
    return int(cols.max()), int(rows.max())


def left_edge(frame: np.ndarray) -> int:
    """A warp leaves a trail behind what moves, so the edge to look at is the one in front."""
    return int(np.nonzero((frame[..., 0] > 200).any(0))[0].min())


@pytest.mark.parametrize(("factor", "right_edge"), [(1, 71 + 16), (2, 71 + 32), (0.5, 71 + 8), (0, 71)])
def test_a_square_goes_so_many_times_as_far(factor, right_edge):
    motion = scale(field((2.0, 0.0), start=(40, 48)), factor)
    last = warp(square(40, 48), motion)[-1]
    assert abs(leading_edge(last)[0] - right_edge) <= 2
    assert abs(leading_edge(last)[1] - 79) <= 1


def test_a_square_goes_the_opposite_way():
    motion = scale(field((2.0, 0.0), start=(40, 48)), -1)
    last = warp(square(40, 48), motion)[-1]
    assert abs(left_edge(last) - (40 - 16)) <= CELL // 2


@pytest.mark.parametrize("factor", [2.0, -1.0, 0.5, 3.0])
def test_a_pan_stays_a_pan(factor):
    motion = field((1.5, -1.0))
    scaled = scale(motion, factor).values
    assert np.allclose(scaled, factor * motion.values[..., :1, :1], atol=1e-5)


def test_what_is_uncovered_stands_still_like_its_ground():
    twice = scale(field((4.0, 0.0), start=(16, 48)), 2)
    start = twice.values[0, -1, :, : 4 * (16 // CELL + 2)]
    assert not start.any(), "the square has left"
    assert twice.values[0, -1].max() == 8


def test_twice_backwards_is_forwards():
    motion = field((3.0, 1.0), start=(10, 20))
    back = reverse(motion)
    assert np.array_equal(back.values[:, 1], -motion.values[:, -1])
    assert np.array_equal(back.values[:, -1], -motion.values[:, 1])
    assert not back.values[:, 0].any()
    assert np.array_equal(reverse(back).values, motion.values)


def test_backwards_of_the_frames_that_a_short_clip_shows():
    motion = field((2.0, 0.0), start=(32, 32))
    back = reverse(motion, 4)
    assert np.array_equal(back.values[:, 1:4], -motion.values[:, 3:0:-1])
    assert not back.values[:, [0, 4, 5, 6, 7, 8]].any()
    assert np.array_equal(MotionEdit(reverse=True).apply(motion, 4).values, back.values)
    assert np.array_equal(reverse(motion, FRAMES + 3).values, reverse(motion).values)
    assert not reverse(motion, 1).values.any()


def test_backwards_brings_a_square_home():
    motion = field((2.0, 0.0), start=(40, 48))
    home = warp(square(56, 48), reverse(motion))[-1]
    assert abs(left_edge(home) - 40) <= CELL // 2
    assert left_edge(warp(square(56, 48), motion)[-1]) > 50, "the motion as it was goes the other way"


def test_frozen_from_a_frame_on():
    motion = field((1.0, 1.0))
    assert not freeze(motion).values.any()
    late = freeze(motion, from_frame=5).values
    assert np.array_equal(late[:, :5], motion.values[:, :5])
    assert not late[:, 5:].any()


def test_fields_that_went_in_stay_as_they_were():
    motion = field((1.0, 2.0), start=(8, 8))
    before = motion.values.copy()
    for edited in (freeze(motion), reverse(motion), scale(motion, 2)):
        assert edited.values is not motion.values
        assert (edited.height, edited.width, edited.values.dtype) == (SIZE, SIZE, np.float32)
    assert np.array_equal(motion.values, before)


@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 4),
    st.floats(-100, 100, width=32),
    st.integers(0, 2**32 - 1),
)
def test_any_field_can_be_scaled(rows, cols, frames, factor, seed):
    values = np.random.default_rng(seed).normal(0, 20, (2, frames, rows, cols)).astype(np.float32)
    motion = MotionField(values=values, height=40, width=30)
    scaled = scale(motion, factor)
    assert scaled.values.shape == (2, frames, 4 * rows, 4 * cols)
    assert np.isfinite(scaled.values).all()
    assert not scaled.values[:, 0].any()


def test_edits_are_made_in_their_order():
    motion = field((2.0, 0.0), start=(40, 48))
    both = MotionEdit(reverse=True, scale=2.0).apply(motion)
    assert np.array_equal(both.values, scale(reverse(motion), 2.0).values)
    assert not MotionEdit(scale=3, freeze=True).apply(motion).values.any()
    assert MotionEdit().changes_nothing
    assert MotionEdit().apply(motion) is motion


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), 101, -1000.0])
def test_a_factor_that_makes_no_sense_is_refused(factor):
    with pytest.raises(ConfigError, match="scale="):
        MotionEdit(scale=factor)


def test_a_mirror_exchanges_left_and_right_and_undoes_itself():
    motion = MotionField(values=np.zeros((2, 3, 2, 4), np.float32), height=32, width=64)
    motion.values[:, 1, 0, 0] = -2, 1  # on the left, to the left and down
    seen = mirror(motion)
    assert seen.values[:, 1, 0, 3].tolist() == [2, 1]
    assert np.count_nonzero(seen.values) == 2
    assert np.array_equal(mirror(seen).values, motion.values)
    assert np.array_equal(MotionEdit(mirror=True).apply(motion).values, seen.values)
