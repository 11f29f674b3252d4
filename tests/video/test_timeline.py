"""Clips that follow one another cover the video: no tick twice, none left out."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from movies import write_movie

from videolavit.clip import Clip, MotionField
from videolavit.video import decompose
from videolavit.video.clips.assemble import timeline
from videolavit.video.clips.timeline import images_on_ticks


def clip(start: int, num_real_frames: int = 24) -> Clip:
    motion = MotionField(values=np.zeros((2, 24, 1, 1), np.float32), height=16, width=16)
    keyframe = np.zeros((16, 16, 3), np.uint8)
    return Clip(keyframe=keyframe, motion=motion, start=start, fps=Fraction(6), num_real_frames=num_real_frames)


def shown(clips: list[Clip]) -> list[tuple[int, int]]:
    return [(each.start, length) for each, length in timeline(clips)]


@pytest.mark.parametrize(
    ("clips", "expected"),
    [
        ([], []),
        ([clip(0, 7)], [(0, 7)]),
        ([clip(0), clip(12), clip(24), clip(36, 20), clip(48, 8)], [(0, 24), (24, 24), (48, 8)]),
        ([clip(0), clip(12, 12)], [(0, 24)]),
        ([clip(0), clip(5), clip(17), clip(29, 19), clip(41, 7)], [(0, 17), (17, 24), (41, 7)]),
        ([clip(0, 5), clip(5, 20), clip(17, 8)], [(0, 5), (5, 20)]),
        ([clip(0, 4), clip(12, 4), clip(24, 1)], [(0, 12), (12, 12), (24, 1)]),
    ],
    ids=["no clip", "one clip", "regular", "the last is covered", "after a scene change", "cut", "gaps"],
)
def test_which_clips_are_shown_and_for_how_long(clips, expected):
    assert shown(clips) == expected


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(1, 40), st.integers(1, 30))
def test_every_tick_is_shown_once(distances, frames_per_clip, last):
    starts = [0, *np.cumsum(distances).tolist()]
    num_ticks = starts[-1] + min(last, frames_per_clip)
    clips = [clip(start, min(frames_per_clip, num_ticks - start)) for start in starts]
    parts = shown(clips)
    assert parts[0][0] == 0
    assert all(start + length == following for (start, length), (following, _) in pairwise(parts))
    assert sum(parts[-1]) == num_ticks


def test_images_come_at_the_ticks_of_the_clips(tmp_path):
    video = write_movie(tmp_path / "video.mp4", seconds=5)
    clips = decompose(video, select="all")
    images = list(images_on_ticks(video))
    assert len(images) == sum(length for _, length in timeline(clips)) == 30
    for each in clips:
        distance = [np.abs(image.astype(int) - each.keyframe).mean() for image in images]
        assert int(np.argmin(distance)) == each.start
