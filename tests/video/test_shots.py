from __future__ import annotations

import numpy as np
import pytest
from video.media import moving_images, scenes

from videolavit.errors import ConfigError
from videolavit.video import DecomposeOptions, Frames, Limits, decompose
from videolavit.video.clips.decompose import coded_frames
from videolavit.video.io.pixels import rgb_frame, to_yuv420p
from videolavit.video.motion.shots import CutDetector, CutDetectorConfig, shot_ends

LENGTHS = [20, 16, 17, 30]
CUTS = [20, 36, 53]


def cuts_of(images: np.ndarray) -> list[int]:
    detector = CutDetector()
    height, width = images.shape[1:3]
    frames = (to_yuv420p(rgb_frame(image), width, height) for image in images)
    return [index for index, frame in enumerate(frames) if detector.is_cut(frame)]


def test_images_that_change_at_once_are_cuts():
    assert cuts_of(scenes(LENGTHS)) == CUTS


def test_neither_motion_nor_a_fade_nor_standing_still_is_a_cut():
    assert cuts_of(moving_images(20, step=(7, 5))) == []
    fade = moving_images(20) * np.linspace(0, 1, 20)[:, None, None, None]
    assert cuts_of(fade.astype(np.uint8)) == []
    assert cuts_of(np.repeat(moving_images(1), 5, axis=0)) == []


@pytest.mark.parametrize("select", ["reference", "all", "every 2", "uniform 3"])
def test_no_clip_straddles_a_cut(select: str):
    clips = decompose(scenes(LENGTHS), shots="difference", select=select)
    ends = [*CUTS, sum(LENGTHS)]
    for clip in clips:
        assert not any(clip.start < cut < clip.start + clip.num_real_frames for cut in CUTS)
        assert clip.start + clip.num_real_frames in {clip.start + 24, *ends}
        assert not clip.motion.values[:, clip.num_real_frames :].any()


def test_a_keyframe_starts_each_shot_and_shows_it():
    images = scenes(LENGTHS)
    clips = {clip.start: clip for clip in decompose(images, shots="difference", select="all")}
    for cut in (0, *CUTS):
        assert np.abs(clips[cut].keyframe.astype(int) - images[cut]).mean() < 8


def test_without_the_option_clips_cross_cuts():
    [first, *_] = decompose(scenes(LENGTHS), select="all")
    assert first.num_real_frames == 24 > CUTS[0]


def test_the_encoder_tells_a_scene_change_by_an_early_i_frame():
    black, white = np.zeros((15, 64, 64, 3), np.uint8), moving_images(15, 64, 64)
    frames = Frames(images=np.concatenate([black, white]), fps=6)
    found = [f.tick for f in coded_frames(frames, DecomposeOptions(shots="encoder"), Limits()) if f.starts_shot]
    assert found == [0, 15]


def test_shot_ends_name_the_next_cut():
    assert shot_ends([0, 12, 20, 32, 40], [20, 36], 50) == [20, 20, 36, 36, 50]
    assert shot_ends([0, 12], [], 30) == [30, 30]
    assert shot_ends([0, 12], [0], 30) == [30, 30]


@pytest.mark.parametrize("wrong", [{"threshold": 0.0}, {"threshold": 1.5}, {"ratio": 0.5}, {"memory": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        CutDetectorConfig(**wrong)
