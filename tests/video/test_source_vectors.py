"""Motion out of the vectors that a video carries already."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from video.media import moving_images, scenes, synthetic_video

from videolavit.errors import ConfigError, MediaError
from videolavit.video import Frames, decompose
from videolavit.video.clips.timeline import images_on_ticks

SOURCES = {
    "h264": {},
    "h264, no B-frames, 1 reference": {"options": {"x264-params": "ref=1:bframes=0"}},
    "h264, many B-frames": {"options": {"x264-params": "ref=1:bframes=8:b-adapt=0"}},
    "h264, start codes": {"container": "mpegts"},
    "mpeg4": {"codec": "mpeg4"},
    "mpeg4, B-frames": {"codec": "mpeg4", "options": {"bf": "2", "b": "4M"}},
    "mpeg2, B-frames": {"codec": "mpeg2video", "container": "mpegts", "options": {"bf": "2", "b": "4M"}},
    "mpeg1": {"codec": "mpeg1video", "container": "mpegts", "options": {"b": "4M"}},
    "avi": {"codec": "mpeg4", "container": "avi", "options": {"bf": "1", "b": "4M"}},
}
STEP = (3, -2)
PER_TICK = 4  # frames of 24 a second


def middle(motion: np.ndarray) -> np.ndarray:
    """Median over the cells away from the edges, (2, frames)."""
    return np.median(motion[:, :, 2:-2, 2:-2], axis=(2, 3))


def own_motion(video: bytes, **options):
    return decompose(video, motion="source", select="all", **options)


@pytest.mark.parametrize("name", SOURCES)
def test_a_translation_gives_that_vector_per_tick(name):
    video = synthetic_video(moving_images(60, step=STEP), **SOURCES[name])
    [clip, _] = own_motion(video, frames_per_clip=12)
    expected = PER_TICK * np.array(STEP).reshape(2, 1)
    assert np.abs(middle(clip.motion.values)[:, 1:] - expected).max() < 0.35


@pytest.mark.parametrize("name", SOURCES)
def test_the_result_does_not_depend_on_what_is_left_out_in_decoding(name):
    video = synthetic_video(moving_images(60, step=STEP), **SOURCES[name])
    for one, other in zip(own_motion(video), own_motion(video, selective=False, threads=2), strict=True):
        assert (one.keyframe == other.keyframe).all()
        assert (one.motion.values == other.motion.values).all()


@pytest.mark.parametrize(("rotation", "turned"), [(90, (-2, -3)), (180, (-3, 2)), (270, (2, 3))])
@pytest.mark.parametrize("size", [(96, 128), (88, 120)])
def test_motion_turns_with_the_image(rotation, turned, size):
    options = {"x264-params": "ref=1"}  # With more, some vectors point further back than libav tells.
    video = synthetic_video(moving_images(48, *size, step=STEP), rotation=rotation, options=options)
    clip = own_motion(video, frames_per_clip=11)[0]
    assert clip.size == (size[::-1] if rotation != 180 else size)
    assert np.abs(middle(clip.motion.values)[:, 1:] - PER_TICK * np.array(turned).reshape(2, 1)).max() < 0.35


def test_keyframes_are_images_of_the_source_every_so_many_ticks():
    video = synthetic_video(moving_images(200, step=(1, 0)))
    images = list(images_on_ticks(video))
    clips = own_motion(video)
    assert [clip.start for clip in clips] == [0, 12, 24, 36, 48]
    for clip in clips:
        assert (clip.keyframe == images[clip.start]).all()
    assert [clip.start for clip in own_motion(video, gop=20)] == [0, 20, 40]


def test_a_cut_starts_a_shot():
    video = synthetic_video(scenes([80, 100]))
    clips = own_motion(video, shots="difference")
    assert [clip.start for clip in clips] == [0, 12, 20, 32, 44]
    assert [clip.num_real_frames for clip in clips[:2]] == [20, 8]


def test_an_image_shown_for_two_ticks_does_not_move_in_the_second():
    video = synthetic_video(moving_images(8, step=STEP), fps=3, options={"x264-params": "ref=1:bframes=0"})
    motion = middle(own_motion(video)[0].motion.values)
    shown_again = [tick for tick in range(1, 15) if not motion[:, tick].any()]
    moving = [tick for tick in range(1, 15) if (motion[:, tick] == STEP).all()]
    assert len(shown_again) == len(moving) == 7
    assert sorted(shown_again + moving) == list(range(1, 15))


def test_an_i_frame_hides_no_motion():
    video = synthetic_video(moving_images(30, step=STEP), fps=6, options={"x264-params": "keyint=10:bframes=0:ref=1"})
    motion = middle(own_motion(video)[0].motion.values)
    assert (motion[:, 1:] == np.array(STEP).reshape(2, 1)).all()


def test_a_video_of_i_frames_has_no_motion_and_a_warning(caplog):
    video = synthetic_video(moving_images(48, step=STEP), codec="mpeg4", options={"g": "1"})
    with caplog.at_level(logging.WARNING):
        clips = own_motion(video)
    assert not any(clip.motion.values.any() for clip in clips)
    assert "none of its frames has motion vectors" in caplog.text


def test_cells_may_be_smaller_than_blocks():
    video = synthetic_video(moving_images(48, step=STEP), options={"x264-params": "ref=1"})
    coarse, fine = (own_motion(video, cell=cell)[0].motion for cell in (16, 8))
    assert fine.grid == (12, 16)
    assert np.abs(middle(fine.values) - middle(coarse.values)).max() < 0.35


@pytest.mark.parametrize(("codec", "container"), [("libx265", "mp4"), ("libvpx-vp9", "webm"), ("ffv1", "matroska")])
def test_codecs_without_vectors_are_named(codec, container):
    video = synthetic_video(moving_images(6), codec=codec, container=container)
    with pytest.raises(MediaError, match=r"exports no motion vectors, expected one of .*h264.*motion='reencode'"):
        own_motion(video)


def test_what_has_no_vectors_of_its_own_is_refused():
    with pytest.raises(MediaError, match="images carry no motion vectors"):
        decompose(Frames(images=moving_images(6), fps=6), motion="source")
    with pytest.raises(ConfigError, match="shots='difference'"):
        decompose(b"", motion="source", shots="encoder")


@pytest.mark.parametrize("name", ["nasa_13013.mp4", "pancake.mkv", "mma_demo.mp4", "vlv_9.mp4"])
def test_on_real_clips_it_predicts_the_next_tick_better_than_standing_still(videos, name):
    from videolavit.clip import MotionField
    from videolavit.video.motion.warp import warp

    images = list(images_on_ticks(videos / name))
    clip = own_motion((videos / name).read_bytes())[0]
    gains = []
    for tick in range(1, clip.num_real_frames):
        step = MotionField(values=clip.motion.values[:, [0, tick]], height=clip.size[0], width=clip.size[1])
        before, after = images[tick - 1], images[tick]
        gains.append(psnr(warp(before, step)[1], after) - psnr(before, after))
    assert np.mean(gains) > 1


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(np.square(a.astype(float) - b).mean(), 1e-3)))
