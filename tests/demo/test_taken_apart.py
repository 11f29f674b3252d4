"""A video taken apart for the page says what the library says."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

from videolavit.demo.shape_images import moving_shapes
from videolavit.demo.taken_apart import (
    arrow_frames,
    camera_motion,
    facts,
    motion_error,
    narrowed,
    shown_at,
    take_apart,
    zipped,
)
from videolavit.errors import LimitError, MediaError
from videolavit.video import Limits, decompose, write_video


@pytest.fixture(scope="module")
def apart(square):
    return take_apart(square, limits=Limits())


@pytest.fixture(scope="module")
def cut_video(tmp_path_factory):
    """Two seconds of a dark noise, then two of a bright one."""
    noise = np.random.default_rng(0).integers(0, 100, (2, 96, 128, 3), np.uint8)
    noise[1] += 150
    frames = np.concatenate([np.repeat(image[None], 24, 0) for image in noise])
    return write_video(frames, tmp_path_factory.mktemp("cut") / "cut.mp4", fps=12)


def test_clips_are_those_of_decompose(apart, square):
    same = decompose(square, select="all", shots="difference")
    starts = [clip.start for clip in same]
    for clip in apart.clips:
        twin = same[starts.index(clip.start)]
        assert np.array_equal(clip.keyframe, twin.keyframe)
        assert np.array_equal(clip.motion.values, twin.motion.values)
    assert sum(apart.shown_ticks) == 24


def test_a_cut_is_found_where_it_is(cut_video):
    assert take_apart(cut_video, limits=Limits()).cuts == (2.0,)


def test_the_example_of_shapes_shows_both_ways(tmp_path):
    apart = take_apart(write_video(moving_shapes(), tmp_path / "shapes.mp4"), limits=Limits())
    [clip] = apart.clips
    across, _ = clip.motion.values.mean(1)
    rows = len(across)
    assert across[: rows // 2].max() > 1, "the circle above goes to the right"
    assert across[rows // 2 :].min() < -1, "the square below to the left"
    assert apart.cuts == ()


def test_facts_name_size_clips_and_speed(apart):
    told = dict(facts(apart))
    assert told["video"].startswith("128 x 128, 4.0 s")
    assert told["clips"].startswith("1, ")
    assert told["cuts"] == "none found"


def test_camera_motion_is_the_median_vector(apart):
    from dataclasses import replace

    clip = apart.clips[0]
    values = np.zeros_like(clip.motion.values)
    values[0], values[1] = 2.5, -1
    moved = replace(clip, motion=replace(clip.motion, values=values))
    assert camera_motion(moved) == (2.5, -1.0)
    assert camera_motion(moved, 3) == (2.5, -1.0)
    assert camera_motion(clip) == (0.0, 0.0)  # the ground stands still


def test_motion_error_is_the_mean_distance():
    one, other = np.zeros((2, 3, 4, 5), np.float32), np.zeros((2, 3, 4, 5), np.float32)
    other[0], other[1] = 3, 4
    assert motion_error(one, other) == 5


def test_pictures_have_the_sizes_that_the_page_shows(apart):
    assert shown_at(apart, 0, 5).shape == (128, 128, 3)
    frames = arrow_frames(apart, 0, Limits())
    assert len(frames) == 24
    assert frames.shape[2] > 2 * 128


def test_what_waits_for_further_looks_is_small_and_shows_the_same(apart):
    small = narrowed(apart, width=64)
    assert {one.size for one in small.clips} == {(64, 64)}
    assert np.array_equal(shown_at(small, 0, 5, width=64), shown_at(apart, 0, 5, width=64))
    assert facts(small) == facts(apart)
    assert [one.size for one in narrowed(apart).clips] == [one.size for one in apart.clips]  # narrow as it is


def test_the_archive_holds_everything_and_is_the_same_each_time(apart):
    packed = zipped(apart)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert {"contact-sheet.png", "keyframes/000.png", "motion/000.png", "motion.npz"} <= set(archive.namelist())
        motion = np.load(io.BytesIO(archive.read("motion.npz")))["motion_pixels"]
        note = json.loads(archive.read("metadata.json"))
    assert np.array_equal(motion[0], apart.clips[0].motion.values)
    assert note["video"]["source"] == "square.mp4"  # no folder of the server


def test_limits_are_those_that_were_given(square, tmp_path):
    with pytest.raises(LimitError):
        take_apart(square, limits=Limits(max_duration_seconds=1))
    long = write_video(np.zeros((120, 64, 64, 3), np.uint8), tmp_path / "long.mp4", fps=6)
    with pytest.raises(LimitError, match="more than 1 clips"):
        take_apart(long, limits=Limits(), max_clips=1)
    (tmp_path / "words.mp4").write_text("no video")
    with pytest.raises(MediaError):
        take_apart(tmp_path / "words.mp4", limits=Limits())
