"""Where a video comes from: strange names, pipes, failing file objects, readers that are left in the middle."""

from __future__ import annotations

import gc
import io
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from video.media import moving_images, synthetic_video

from videolavit.errors import LimitError, MediaError, VideoLaVITError
from videolavit.video import Limits, decompose, iter_clips, open_video, probe, read_metadata


@pytest.fixture(scope="module")
def data() -> bytes:
    return synthetic_video(moving_images(24, 48, 64), fps=6, container="matroska")


@pytest.fixture(scope="module")
def long_data() -> bytes:
    """More than libav reads ahead."""
    noise = np.random.default_rng(0).integers(0, 256, (150, 96, 128, 3), dtype=np.uint8)
    data = synthetic_video(noise, fps=6, container="matroska", options={"preset": "ultrafast", "crf": "10"})
    assert len(data) > 2_000_000
    return data


# Names


NAMES = [
    *("with space.mp4", "quote'\".mp4", "semi;colon.mp4", "$(touch x).mp4", "new\nline.mp4", "-dash.mp4", "--help"),
    *("%03d.mp4", "concat:a|b", "http:x.mp4", "pipe:0", "file:x.mp4", "data:video", "subfile,,start,0,end,9,,:x"),
    *("*.mp4", "\udcff.mp4", "~", ".mp4", "a\tb\x1b[31m.mp4"),
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_is_a_name_and_nothing_else(data, name: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(data)
    [clip] = decompose(name)
    assert clip.source == name
    assert probe(Path(name)).width == 64
    assert os.listdir() == [name]


@pytest.mark.parametrize(
    "url", ["http://a/b.mp4", "https://a.b", "HTTP://X", "rtsp://x/y", "s3://a/b", "data:video/mp4;base64,AA"]
)
def test_a_url_is_refused_and_no_network_used(url: str):
    with pytest.raises(MediaError, match="is a URL, expected a file; download it first"):
        decompose(url)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (".", "is a folder"),
        ("missing.mp4", "no such file; relative paths start at"),
        ("", "no such file"),
        ("a" * 5000, "File name too long"),
        ("a\0b", "null"),
        ("loop", "Too many levels of symbolic links"),
        ("dangling", "no such file"),
        ("/dev/null", "is empty"),
        ("/dev/zero", "is empty"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_what_cannot_be_opened_is_named_with_the_reason(name: str, words: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("pool")
    Path("pool").symlink_to("loop")
    Path("dangling").symlink_to("nowhere")
    with pytest.raises(MediaError, match=words) as refused:
        decompose(name)
    assert name[:100] in str(refused.value) or "null" in words


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_must_not_be_read_is_refused(data, tmp_path: Path):
    path = tmp_path / "secret.mp4"
    path.write_bytes(data)
    path.chmod(0)
    with pytest.raises(MediaError, match="Permission denied"):
        probe(path)


def test_metadata_of_a_script_opens_no_other_file(data, tmp_path: Path):
    (tmp_path / "other.mkv").write_bytes(data)
    script = tmp_path / "script.mp4"
    script.write_text(f"ffconcat version 1.0\nfile {tmp_path / 'other.mkv'}\n")
    with pytest.raises(MediaError):
        read_metadata(script)


@pytest.mark.parametrize("thing", [{}, [], (), io.StringIO("text")], ids=lambda thing: type(thing).__name__)
def test_things_that_are_no_video_are_refused(thing: Any):
    with pytest.raises(MediaError, match=r"expected|binary"):
        decompose(thing)


# Pipes


def fed_pipe(path: Path, data: bytes) -> Path:
    """A FIFO into which another thread writes."""
    os.mkfifo(path)

    def feed() -> None:
        with open(path, "wb") as pipe:
            try:
                pipe.write(data)
            except BrokenPipeError:
                return

    threading.Thread(target=feed, daemon=True).start()
    return path


class Unseekable:
    """A file object that can only be read, and gives less than one asks for."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(min(size, 700))


def test_a_pipe_gives_the_clips_of_the_file(data, tmp_path: Path):
    [expected] = decompose(data)
    for index, source in enumerate((fed_pipe(tmp_path / "pipe", data), Unseekable(data))):
        [clip] = decompose(source)
        np.testing.assert_array_equal(clip.keyframe, expected.keyframe, err_msg=str(index))
        np.testing.assert_array_equal(clip.motion.values, expected.motion.values)


def test_a_pipe_of_too_many_bytes_is_refused(long_data, tmp_path: Path):
    for limit in (500, 1_000_000):
        for source in (fed_pipe(tmp_path / f"pipe{limit}", long_data), Unseekable(long_data)):
            with pytest.raises(LimitError, match=f"more than max_bytes={limit} allows"):
                decompose(source, limits=Limits(max_bytes=limit))


@pytest.mark.parametrize("content", [b"", b"no video" * 10_000], ids=["nothing", "noise"])
def test_a_pipe_without_a_video_is_refused(content: bytes, tmp_path: Path):
    with pytest.raises(MediaError, match="cannot be read as a video"):
        decompose(fed_pipe(tmp_path / "pipe", content))


def test_an_mp4_whose_index_comes_too_late_for_a_pipe_is_refused_with_the_reason():
    noise = np.random.default_rng(0).integers(0, 256, (60, 96, 128, 3), dtype=np.uint8)
    data = synthetic_video(noise, fps=6, options={"preset": "ultrafast", "crf": "10"})
    assert decompose(data)
    with pytest.raises(MediaError, match=r"comes from a pipe, where .* MP4, cannot be read: save it to a file first"):
        decompose(Unseekable(data))


def test_a_pipe_cannot_be_read_a_second_time(data):
    with open_video(Unseekable(data)) as video, pytest.raises(MediaError, match="is a pipe and can be read once only"):
        video.rewind()
    with pytest.raises(MediaError, match=r"can be read once only .* or raise memory_bytes"):
        decompose(Unseekable(data), memory_bytes=1)


# Sources that fail


class Failing(io.BytesIO):
    """Fails after so many reads, with an exception of its own or a wrong answer."""

    def __init__(self, data: bytes, num_reads: int, outcome: Any) -> None:
        super().__init__(data)
        self._left, self._outcome = num_reads, outcome

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left >= 0:
            return super().read(size)
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome


@pytest.mark.parametrize("num_reads", [5, 8, 12])
@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), KeyError("k"), ConnectionResetError(104, "reset")], ids=repr
)
def test_a_read_that_fails_is_told_and_no_end_of_the_video(long_data, error: Exception, num_reads: int, capfd):
    with pytest.raises(MediaError, match=r"cannot be read .*check the disk or connection") as failure:
        decompose(Failing(long_data, num_reads, error), select="all")
    assert failure.value.__cause__ is error
    assert capfd.readouterr().err == "", "PyAV prints what it drops"


def test_ctrl_c_while_reading_is_not_lost(long_data):
    with pytest.raises(KeyboardInterrupt):
        decompose(Failing(long_data, 12, KeyboardInterrupt()))


@pytest.mark.parametrize(
    "answer", [None, "text", 3, bytearray(9), b"x" * 1_000_000], ids=lambda answer: type(answer).__name__
)
def test_a_read_that_returns_something_else_or_too_much_is_told(long_data, answer: Any):
    # Too much would overrun a buffer inside PyAV.
    with pytest.raises(MediaError, match=r"read\(\d+\) returned .*, expected bytes, at most"):
        decompose(Failing(long_data, 12, answer))


def test_a_file_deleted_while_it_is_read_is_read_to_its_end(long_data, tmp_path: Path):
    path = tmp_path / "video.mkv"
    path.write_bytes(long_data)
    clips = iter_clips(path, select="all")
    next(clips)
    path.unlink()
    assert len(list(clips)) + 1 == len(decompose(long_data, select="all"))


def test_a_file_truncated_while_it_is_read_ends_early(long_data, tmp_path: Path):
    path = tmp_path / "video.mkv"
    path.write_bytes(long_data)
    clips = iter_clips(path, select="all")
    next(clips)
    os.truncate(path, len(long_data) // 2)
    assert 0 < len(list(clips)) + 1 < len(decompose(long_data, select="all"))


# Nothing is left open


def test_reading_on_from_a_closed_or_rewound_reader_is_refused(data):
    video = open_video(data)
    before_rewind, packets = video.frames(), video.packets()
    next(before_rewind)
    packet = next(packets)
    video.rewind()
    with pytest.raises(MediaError, match="rewound"):
        next(before_rewind)
    after_rewind = video.frames()
    next(after_rewind)
    video.close()
    uses: list[Callable[[], object]] = [
        lambda: next(after_rewind),
        lambda: video.decode(packet),
        lambda: video.decode(None),
        lambda: video.stream,
        lambda: video.frame_rate,
        lambda: video.duration_seconds,
        video.rewind,
    ]
    for use in uses:
        with pytest.raises(MediaError, match="the reader is closed"):
            use()
    video.close()


def test_errors_and_abandoned_readers_leave_no_file_and_no_thread(data, tmp_path: Path):
    good, bad = tmp_path / "good.mkv", tmp_path / "bad.mkv"
    good.write_bytes(data)
    bad.write_bytes(data[:300])
    logging.disable(logging.WARNING)

    def use_and_leave() -> None:
        next(iter_clips(good, select="all"))
        next(iter_clips(good, select="all", motion="source", threads=2))
        iter_clips(good)
        next(open_video(good, threads=2).frames())
        for source, limits in ((bad, Limits()), (good, Limits(max_width=8)), (good, Limits(max_duration_seconds=1))):
            with pytest.raises(VideoLaVITError):
                decompose(source, limits=limits)

    try:
        use_and_leave()
        gc.collect()
        before = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
        for _ in range(30):
            use_and_leave()
        gc.collect()
        assert (len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))) == before
    finally:
        logging.disable(logging.NOTSET)


def test_threads_can_take_videos_apart_at_the_same_time():
    videos = [synthetic_video(moving_images(24, 48, 64, seed=seed), fps=6) for seed in range(4)]
    expected = [decompose(video)[0] for video in videos]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda index: decompose(videos[index % 4])[0], range(32)))
    for index, clip in enumerate(found):
        np.testing.assert_array_equal(clip.keyframe, expected[index % 4].keyframe)
        np.testing.assert_array_equal(clip.motion.values, expected[index % 4].motion.values)
