from __future__ import annotations

import io
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import jaxtyping
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from video.media import moving_images, synthetic_video

from videolavit.clip import Clip
from videolavit.errors import ConfigError, LimitError, MediaError
from videolavit.video import DecomposeOptions, Frames, Limits, decompose, iter_clips
from videolavit.video.processor import VideoProcessorConfig

FPS = 24


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return moving_images(168, 80, 112, step=(1, 0))


@pytest.fixture(scope="module")
def data(images) -> bytes:
    """Seven seconds of H.264 with B-frames and an open GOP."""
    return synthetic_video(images, fps=FPS, options={"bf": "3", "g": "30"})


@pytest.fixture(scope="module")
def clips(data) -> list[Clip]:
    return decompose(data, select="all")


def assert_same(actual: list[Clip], expected: list[Clip]) -> None:
    assert [clip.start for clip in actual] == [clip.start for clip in expected]
    for one, other in zip(actual, expected, strict=True):
        assert np.array_equal(one.motion.values, other.motion.values)
        assert np.array_equal(one.keyframe, other.keyframe)


def test_a_clip_has_a_keyframe_24_motion_frames_and_its_times(clips, images):
    first = clips[0]
    assert first.keyframe.shape == images.shape[1:]
    assert first.motion.values.shape == (2, 24, 5, 7)
    assert (first.start, first.num_real_frames, first.end_seconds) == (0, 24, 4.0)
    assert not first.motion.values[:, 0].any()


@settings(max_examples=12, deadline=None)
@given(x=st.integers(-4, 4), y=st.integers(-4, 4), seed=st.integers(0, 3))
def test_an_image_that_moves_gives_that_vector(x: int, y: int, seed: int):
    [clip, *_] = decompose(moving_images(10, 96, 128, step=(x, y), seed=seed), slices=1, select="all")
    inner = clip.motion.values[:, 1 : clip.num_real_frames, 1:-1, 1:-1]
    assert np.median(inner[0]) == x
    assert np.median(inner[1]) == y


def test_frame_12_is_the_mean_of_its_neighbours(clips):
    motion = clips[0].motion.values
    assert np.array_equal(motion[:, 12], (motion[:, 11] + motion[:, 13]) / 2)


def test_no_frame_is_replaced_where_the_keyframes_are_as_far_apart_as_a_clip_is_long(images):
    [clip, *_] = decompose(images[:24], gop=24, slices=1, select="all")
    assert np.median(clip.motion.values[0, 1:, 1:-1, 1:-1], axis=(1, 2)).tolist() == [1.0] * 23


def test_a_clip_that_the_video_ends_in_is_filled_with_zero_motion(clips):
    last = clips[-1]
    assert last.num_real_frames == 42 - last.start < 24
    assert not last.motion.values[:, last.num_real_frames :].any()
    assert last.motion.values[:, 1 : last.num_real_frames].any()


def test_path_bytes_file_object_and_pipe_give_the_same_clips(data, clips, tmp_path: Path):
    path = tmp_path / "a video; with $(odd) 'name'\n.mp4"
    path.write_bytes(data)
    assert_same(decompose(path, select="all"), clips)
    assert_same(decompose(str(path), select="all"), clips)
    with path.open("rb") as file:
        file.seek(100)
        assert_same(decompose(file, select="all"), clips)
        assert not file.closed


@pytest.mark.parametrize("container", ["matroska", "mpegts"])
def test_a_pipe_is_streamed(images, container: str):
    data = synthetic_video(images[:96], fps=FPS, container=container)
    expected = decompose(data, select="all")
    read_end, write_end = os.pipe()

    def write() -> None:
        with open(write_end, "wb") as output:
            output.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    with open(read_end, "rb") as pipe:
        actual = decompose(pipe, select="all")
    writer.join()
    assert_same(actual, expected)


@pytest.mark.parametrize("changes", [{"selective": False}, {"threads": 2}, {"threads": 3, "selective": False}])
def test_clips_do_not_depend_on_how_the_source_is_decoded(data, clips, changes):
    assert_same(decompose(data, select="all", **changes), clips)


@pytest.mark.parametrize(
    ("codec", "container", "pixel_format"),
    [
        ("libx264", "mp4", "yuv420p10le"),
        ("libx264", "mov", "yuv444p"),
        ("libx264", "flv", "yuv420p"),
        ("libx265", "mp4", "yuv420p"),
        ("libvpx-vp9", "webm", "yuv420p"),
        ("libvpx", "webm", "yuv420p"),
        ("mpeg4", "avi", "yuv420p"),
        ("mpeg2video", "mpegts", "yuv420p"),
        ("mjpeg", "avi", "yuvj420p"),
        ("prores_ks", "mov", "yuv422p10le"),
        ("ffv1", "matroska", "yuva420p"),
        ("apng", "apng", "rgb24"),
        ("gif", "gif", "rgb8"),
    ],
)
def test_many_formats_show_the_same_motion(images, codec: str, container: str, pixel_format: str):
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    data = synthetic_video(
        images[:48], fps=FPS, codec=codec, container=container, pixel_format=pixel_format, options=quiet
    )
    selective, full = decompose(data, select="all"), decompose(data, select="all", selective=False)
    assert_same(selective, full)
    [clip, *_] = selective
    assert clip.size == (80, 112)
    assert np.median(clip.motion.values[0, 1:11, 1:-1, 1:-1]) == 4  # four frames of 24 to one tick of 6


def test_iterating_gives_what_decompose_gives(data, clips):
    assert_same(list(iter_clips(data, select="all")), clips)
    assert_same(list(iter_clips(data)), decompose(data))


def test_selections_pick_from_all_clips(data, clips):
    assert_same(decompose(data, select="every 2"), clips[::2])
    assert_same(decompose(data, select="uniform 2"), [clips[0], clips[-1]])
    assert [clip.start for clip in decompose(data)] == [0]


def test_a_video_too_long_to_be_kept_is_read_twice_with_the_same_result(data):
    reads: list[int] = []
    twice = decompose(data, memory_bytes=20_000, progress=reads.append)
    assert_same(twice, decompose(data))
    assert reads == [*range(1, 43), *range(1, 43)]


def test_a_generator_too_long_to_be_kept_is_refused(images):
    with pytest.raises(MediaError, match="select='all'"):
        decompose((image for image in images), memory_bytes=20_000)


def test_worker_processes_give_the_same_clips(data, clips):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert_same(pool.submit(decompose, data, select="all").result(), clips)


def test_images_in_memory_are_one_per_tick_or_at_their_own_rate(images):
    per_tick = decompose(images[:40], select="all", slices=1)
    assert per_tick[-1].start + per_tick[-1].num_real_frames == 40
    assert_same(decompose(list(images[:40]), select="all", slices=1), per_tick)
    slow = decompose(Frames(images=images, fps=24), select="all", slices=1)
    # Halves are rounded away from zero, so tick 0 shows image 1, and tick n image 4 n + 1.
    assert_same(slow, decompose(images[1::4], select="all", slices=1))


def test_a_rate_below_the_ticks_repeats_images(images):
    [clip, *_] = decompose(Frames(images=images[:12], fps=3), select="all", slices=1)
    moved = np.median(clip.motion.values[0, 1:11, 1:-1, 1:-1], axis=(1, 2))
    assert sorted(set(moved.tolist())) == [0.0, 1.0]


@pytest.mark.parametrize(
    "bad",
    [
        [],
        [np.zeros((8, 8), np.uint8)],
        [np.zeros((8, 8, 3), np.float32)],
        [np.zeros((0, 8, 3), np.uint8)],
        [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)],
    ],
)
def test_images_of_the_wrong_kind_are_refused(bad):
    with pytest.raises(MediaError, match=r"expected|resize"):
        decompose(bad)


def test_limits_hold_for_images_and_time(images, data):
    with pytest.raises(LimitError, match="max_width"):
        decompose(images, limits=Limits(max_width=100))
    with pytest.raises(LimitError, match="max_duration_seconds"):
        decompose(images, limits=Limits(max_duration_seconds=5))
    with pytest.raises(LimitError, match="max_duration_seconds"):
        decompose(data, limits=Limits(max_duration_seconds=5))
    with pytest.raises(LimitError, match="max_bytes"):
        decompose(data, limits=Limits(max_bytes=1000))


def test_options_are_checked_at_once(data):
    for wrong in (
        {"select": "some"},
        {"fps": 0},
        {"slices": 0},
        {"frames_per_clip": 0},
        {"sllices": 1},
        {"select": "every 0"},
    ):
        with pytest.raises(ConfigError):
            iter_clips(data, **wrong)


def test_options_of_the_encoder_go_by_their_own_names():
    options = DecomposeOptions().changed(slices=4, max_clips=8)
    assert (options.reencoding.slices, options.max_clips) == (4, 8)
    assert options.reencoding.gop == 12


@pytest.mark.parametrize(("angle", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_a_turned_video_is_turned_back(images, angle: int, turns: int):
    options = {"crf": "10"}
    upright = decompose(synthetic_video(images[:4], fps=6, options=options))[0]
    turned = decompose(synthetic_video(images[:4], fps=6, options=options, rotation=angle))[0]
    difference = np.abs(np.rot90(upright.keyframe, turns).astype(int) - turned.keyframe)
    assert difference.mean() < 3  # coded turned, so not the same bits
    assert (turned.motion.height, turned.motion.width) == turned.size


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (17, 33)])
def test_tiny_and_odd_sizes_work(images, size: tuple[int, int]):
    height, width = size
    data = synthetic_video(images[:8, :height, :width], fps=6, pixel_format="yuv444p")
    [clip, *_] = decompose(data, select="all")
    assert clip.size == size
    assert clip.motion.grid == (-(-height // 16), -(-width // 16))


def test_variable_rate_and_a_late_start_follow_the_clock(images):
    times = [500, 510, 700, 710, 720, 1500, 1510, 2000]
    [clip, *_] = decompose(synthetic_video(images[:8], fps=24, times=times, options={"bf": "0"}), select="all")
    # 500 ms is the container's start, so the last image comes at 1.5 s, tick 9, and lasts a moment.
    assert clip.num_real_frames in (9, 10)


def test_abandoned_iterators_close_their_files(data, tmp_path: Path):
    path = tmp_path / "video.mp4"
    path.write_bytes(data)
    iterator = iter_clips(path, select="all")
    next(iterator)
    assert [opened.path for opened in psutil.Process().open_files()].count(str(path)) == 1
    iterator.close()  # type: ignore[attr-defined]
    assert str(path) not in [opened.path for opened in psutil.Process().open_files()]


def test_a_file_object_of_the_caller_stays_open(data):
    file = io.BytesIO(data)
    decompose(file)
    assert not file.closed


def test_options_are_numbers_of_python_or_numpy_or_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    images = moving_images(30, 64, 64, (1, 0))
    [expected] = decompose(images, fps=12, max_clips=1)
    [found] = decompose(images, fps=np.float32(12), max_clips=np.int64(1))
    assert np.array_equal(found.keyframe, expected.keyframe)
    for wrong in ({"fps": None}, {"fps": "6"}, {"fps": True}, {"max_clips": "8"}, {"max_clips": 2.5}, {"select": 2}):
        with pytest.raises(ConfigError):
            decompose(images, **wrong)
    with pytest.raises(ConfigError, match="got max_pixels='5', expected a number above 0"):
        Limits(max_pixels="5")


@pytest.mark.parametrize("wrong", [{"fps": 0.0}, {"fps": float("nan")}, {"slices": 0}])
def test_a_model_s_way_of_reading_videos_is_checked_when_it_is_made(wrong):
    with pytest.raises(ConfigError):
        VideoProcessorConfig(**wrong)
