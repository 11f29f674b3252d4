"""A model's own front end: sizes, where motion is searched, and which clips are taken of long videos."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from videolavit.config import from_dict, to_dict
from videolavit.data.prepare_videos import SHAPES_FRONT_END, video_record
from videolavit.data.shapes import render, sample_scene
from videolavit.errors import ConfigError, LimitError
from videolavit.video import DecomposeOptions, Frames, Limits, decompose
from videolavit.video.io.write import write_video
from videolavit.video.processor import (
    VideoProcessorConfig,
    clips_with_images,
    front_end_clips,
    looked_at_clips,
    whole_video_clips,
)

SMALL = dataclasses.replace(SHAPES_FRONT_END, height=32, width=32)


def drifting(num_frames: int, height: int = 64, width: int = 96, step: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 216, (height // 8, width // 8, 3), dtype=np.uint8)
    texture = coarse.repeat(8, axis=0).repeat(8, axis=1)
    return np.stack([np.roll(texture, step * i, axis=1) for i in range(num_frames)])


def test_the_defaults_are_those_of_the_release():
    assert VideoProcessorConfig().options == DecomposeOptions()
    video = drifting(60)
    for ours, plain in zip(front_end_clips(video, VideoProcessorConfig()), decompose(video), strict=True):
        assert np.array_equal(ours.keyframe, plain.keyframe)
        assert np.array_equal(ours.motion.values, plain.motion.values)


def test_a_model_sees_a_video_as_it_saw_its_data(tmp_path):
    frames = render(sample_scene(3, num_clips=2))
    record = video_record(frames, SHAPES_FRONT_END)
    path = write_video(frames, tmp_path / "scene.mp4", fps=6.0, crf=0)
    for video in (frames, Frames(images=frames, fps=6.0)):
        seen = list(whole_video_clips(video, SHAPES_FRONT_END))
        assert [num_frames for _, num_frames in seen] == [24, 24]
        for (clip, _), keyframe, motion in zip(seen, record.keyframes, record.motion, strict=True):
            assert np.array_equal(clip.keyframe, keyframe)
            assert np.array_equal(clip.motion.values.astype(np.float16), motion)
    from_file = [clip for clip, _ in whole_video_clips(path, SHAPES_FRONT_END)]
    for clip, motion in zip(from_file, record.motion, strict=True):
        assert np.abs(clip.motion.values - motion).mean() < 0.1


def test_any_video_is_squeezed_to_the_models_size_and_keeps_its_share_of_motion():
    video = drifting(24, height=64, width=96, step=3)
    [clip] = front_end_clips(video, SMALL, select="every 2")
    assert clip.keyframe.shape == (32, 32, 3)
    assert (clip.motion.height, clip.motion.width) == (64, 64)
    assert clip.motion.grid == (4, 4)
    moved = np.median(clip.motion.values[0, 1:, :, 1:]) / clip.motion.width
    assert moved == pytest.approx(3 / 96, rel=0.3)
    assert abs(np.median(clip.motion.values[1])) <= 0.5


def still_then_another(first: int = 72, second: int = 30) -> np.ndarray:
    return np.concatenate([np.repeat(drifting(1), first, axis=0), np.repeat(255 - drifting(1), second, axis=0)])


ADAPTIVE = dataclasses.replace(SMALL, keyframes="adaptive")


def test_adaptive_keyframes_are_those_that_motion_does_not_explain():
    video = still_then_another()
    marked = [clip for clip, _ in whole_video_clips(video, ADAPTIVE)]
    assert [(clip.start, clip.has_keyframe) for clip in marked] == [
        (0, True),
        (24, False),
        (48, False),
        (72, True),
        (96, False),
    ]
    every = [clip for clip, _ in whole_video_clips(video, SMALL)]
    assert all(clip.has_keyframe for clip in every)
    assert all(np.array_equal(one.keyframe, other.keyframe) for one, other in zip(marked, every, strict=True))
    with_images = list(clips_with_images(video, ADAPTIVE))
    assert [clip.has_keyframe for clip, _ in with_images] == [clip.has_keyframe for clip in marked]
    own_size = VideoProcessorConfig(slices=1, keyframes="adaptive")
    at_its_own = [clip.has_keyframe for clip, _ in clips_with_images(video, own_size)]
    assert at_its_own == [True, False, False, True, False]


def test_a_clip_that_does_not_follow_the_one_before_has_its_keyframe_in_a_question():
    video = still_then_another(24 * 6, 0)
    assert [clip.has_keyframe for clip in looked_at_clips(video, ADAPTIVE, max_clips=6)] == [True] + [False] * 5
    assert [clip.has_keyframe for clip in looked_at_clips(video, ADAPTIVE, max_clips=3)] == [True] * 3


def test_folders_of_earlier_versions_are_gone_on_with():
    """Notes in folders of prepared data hold these texts."""
    assert repr(SHAPES_FRONT_END) == (
        "VideoProcessorConfig(height=128, width=128, motion_scale=2, slices=1, fps=6.0, frames_per_clip=24, "
        "look_at='timeline')"
    )
    assert repr(ADAPTIVE) != repr(SMALL)
    assert from_dict(VideoProcessorConfig, to_dict(ADAPTIVE)) == ADAPTIVE
    old = {name: value for name, value in to_dict(SMALL).items() if name not in ("keyframes", "adaptive")}
    assert from_dict(VideoProcessorConfig, old) == SMALL


def test_samples_to_train_on_say_which_clips_have_motion_alone():
    video = still_then_another(72, 0)
    record, plain = video_record(video, ADAPTIVE), video_record(video, SMALL)
    assert record.motion_only == (1, 2)
    assert plain.motion_only == ()
    assert np.array_equal(record.keyframes, plain.keyframes), "what is trained on single clips needs them all"


def test_questions_are_about_clips_in_a_row_and_at_most_so_many():
    starts = [clip.start for clip in looked_at_clips(drifting(48), SMALL, max_clips=4)]
    assert starts == [0, 24]
    released = dataclasses.replace(SMALL, look_at="reference")
    assert [clip.start for clip in looked_at_clips(drifting(48), released, max_clips=4)] == [12]
    starts = [clip.start for clip in looked_at_clips(drifting(24 * 11), SMALL, max_clips=3)]
    assert len(starts) == 3
    assert starts[0] == 0
    assert np.diff(starts).min() >= 72
    with pytest.raises(ConfigError, match="max_clips=0"):
        looked_at_clips(drifting(24), SMALL, max_clips=0)


def test_images_are_taken_one_by_one():
    alive, most = [0], [0]

    def images() -> Iterator[np.ndarray]:
        for frame in drifting(24, step=1):
            for _ in range(12):
                alive[0] += 1
                yield frame.copy()

    taken = []
    for clip, _ in whole_video_clips(images(), SMALL):
        taken.append(clip.start)
        most[0] = max(most[0], alive[0] - clip.start)
    assert taken == list(range(0, 288, 24))
    assert most[0] < 96, "a clip must come when it is complete, not when the video is"


def test_limits_hold_for_the_source_not_for_what_is_made_of_it():
    with pytest.raises(LimitError):
        list(whole_video_clips(drifting(30), SMALL, limits=Limits(max_width=90)))
    with pytest.raises(LimitError):
        list(whole_video_clips(drifting(30), SMALL, limits=Limits(max_duration_seconds=2.0)))
    small = drifting(30, height=40, width=40)
    assert list(whole_video_clips(small, SMALL, limits=Limits(max_width=41, max_height=41)))


def test_it_is_written_and_read_as_json_and_refuses_nonsense():
    assert from_dict(VideoProcessorConfig, to_dict(SMALL)) == SMALL
    for wrong in ({"height": 32}, {"motion_scale": 2}, {"height": 0, "width": 8}):
        with pytest.raises(ConfigError):
            VideoProcessorConfig(**wrong)
