"""Adaptive keyframes: none where motion explains what is seen, always one at a cut and where something is new."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from videolavit.clip import Clip, MotionField
from videolavit.errors import ConfigError
from videolavit.video.adaptive import AdaptiveOptions, adaptive_clips, worst_tile_db

HEIGHT, WIDTH = 48, 80


def image(seed: int) -> np.ndarray:
    """Smooth noise, so that half a block of motion changes it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)


def clip(keyframe: np.ndarray, start: int, velocity: float = 0.0) -> tuple[Clip, int]:
    values = np.zeros((2, 24, HEIGHT // 16, WIDTH // 16), np.float32)
    values[0, 1:] = velocity
    motion = MotionField(values=values, height=HEIGHT, width=WIDTH)
    return Clip(keyframe=keyframe, motion=motion, start=start, fps=Fraction(6), num_real_frames=24), 24


def kept(clips: list[tuple[Clip, int]], **options: float) -> list[bool]:
    return [one.has_keyframe for one in adaptive_clips(clips, AdaptiveOptions(**options))]


def test_what_does_not_change_needs_no_second_keyframe():
    assert kept([clip(image(0), 24 * number) for number in range(4)]) == [True, False, False, False]


def test_a_cut_always_gets_one():
    scenes = [0, 0, 1, 1, 0]
    clips = [clip(image(seed), 24 * number) for number, seed in enumerate(scenes)]
    assert kept(clips) == [True, False, True, False, True]


def test_motion_explains_what_has_moved_and_nothing_else():
    moved = np.roll(image(0), 24, axis=1)
    moved[:, :24] = image(0)[:, :1]  # what comes in is the nearest edge pixel
    assert kept([clip(image(0), 0, velocity=1.0), clip(moved, 24)]) == [True, False]
    assert kept([clip(image(0), 0, velocity=0.0), clip(moved, 24)]) == [True, True]


def test_something_new_in_a_corner_gets_one():
    changed = image(0)
    changed[:6, :8] = 255 - changed[:6, :8]
    assert kept([clip(image(0), 0), clip(changed, 24)], psnr_db=10) == [True, True]
    assert kept([clip(image(0), 0), clip(changed, 24)], psnr_db=10, tile_psnr_db=0) == [True, False]
    assert worst_tile_db(image(0), changed, 4) < worst_tile_db(image(0), changed, 1)


def test_no_more_than_so_many_clips_go_on_from_one_keyframe():
    still = [clip(image(0), 24 * number) for number in range(7)]
    assert kept(still, clips_per_keyframe=3) == [True, False, False, True, False, False, True]
    assert kept(still, clips_per_keyframe=1) == [True] * 7
    with pytest.raises(ConfigError, match="clips_per_keyframe=0"):
        AdaptiveOptions(clips_per_keyframe=0)


def test_motion_moves_what_was_made_so_far_and_clips_come_one_by_one():
    read: list[int] = []

    def clips() -> Iterator[tuple[Clip, int]]:
        for number in range(3):
            read.append(number)
            yield clip(image(0), 24 * number)

    found = adaptive_clips(clips())
    first = next(found)
    assert read == [0]
    assert np.array_equal(first.start, image(0))
    slightly = np.clip(image(0).astype(int) + 3, 0, 255).astype(np.uint8)
    _, second = adaptive_clips([clip(image(0), 0), clip(slightly, 24)])
    assert not second.has_keyframe
    assert np.array_equal(second.start, image(0))
