"""Clocks that restart, leap or run back: no second is lost or invented without a warning that says how much."""

import math
from fractions import Fraction

import av
import numpy as np
import pytest

from videolavit.video import Limits, probe
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.io.open import open_video

RATE, BITS = 24, 8


def numbered(number):
    """Bright and dark columns that spell a number."""
    levels = [235 if number >> bit & 1 else 20 for bit in range(BITS)]
    return np.repeat(np.kron(np.array(levels, np.uint8), np.ones((32, 16), np.uint8))[..., None], 3, 2)


def number_of(image):
    columns = image[4:28].astype(float).mean((0, 2)).reshape(BITS, 16)[:, 4:12].mean(1)
    return sum(int(level > 125) << bit for bit, level in enumerate(columns))


def recording(path, numbers, container, codec="libx264", *, times=None, offset=0, options=None):
    """A video of numbered frames; `times` in frames, `offset` added to all."""
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 16 * BITS, 32, "yuv420p"
        stream.thread_count = 1
        for index, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts = (index if times is None else times[index]) + offset
            frame.time_base = Fraction(1, RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path.read_bytes()


def shown(path):
    return [number_of(image) for image in images_on_ticks(str(path), fps=Fraction(6))]


JOINABLE = [("mpegts", "libx264"), ("mpegts", "mpeg2video"), ("mpeg", "mpeg2video"), ("vob", "mpeg2video")]


@pytest.mark.parametrize(("container", "codec"), [*JOINABLE, ("matroska", "libx264"), ("webm", "libvpx")])
@pytest.mark.parametrize("later", [0, 2])
def test_a_clock_that_starts_again_loses_nothing(tmp_path, container, codec, later, caplog):
    first = recording(tmp_path / "a", range(96), container, codec)
    second = recording(tmp_path / "b", range(96, 192), container, codec, offset=later * RATE)
    (tmp_path / "joined").write_bytes(first + second)
    numbers = shown(tmp_path / "joined")
    assert 47 <= len(numbers) <= 49
    assert numbers == sorted(numbers)
    assert numbers[-1] >= 186
    assert "runs back by" in caplog.text


@pytest.mark.parametrize(("container", "codec"), JOINABLE)
@pytest.mark.parametrize("seconds", [60, 26 * 3600])
def test_a_leap_of_a_receiver_is_no_pause(tmp_path, container, codec, seconds, caplog):
    """As FFmpeg's command takes them out; the second lies behind the 26.5 hours that the clock of MPEG counts to."""
    first = recording(tmp_path / "a", range(96), container, codec)
    second = recording(tmp_path / "b", range(96, 192), container, codec, offset=seconds * RATE)
    (tmp_path / "joined").write_bytes(first + second)
    numbers = shown(tmp_path / "joined")
    assert 47 <= len(numbers) <= 49
    assert numbers == sorted(numbers)
    assert numbers[-1] >= 186
    assert "its clock " in caplog.text


def test_a_clock_that_wraps_at_33_bits(tmp_path):
    wrap = round(2**33 / 90000 * RATE)
    recording(tmp_path / "a.ts", range(96), "mpegts", offset=wrap - 48)
    numbers = shown(tmp_path / "a.ts")
    assert len(numbers) == 24
    assert numbers == sorted(numbers)
    assert numbers[-1] >= 90


def test_a_short_dropout_of_a_receiver_is_a_pause(tmp_path):
    """Less than ten seconds, as FFmpeg has it."""
    times = [*range(48), *range(48 + 3 * RATE, 96 + 3 * RATE)]
    recording(tmp_path / "a.ts", range(96), "mpegts", times=times)
    assert len(shown(tmp_path / "a.ts")) == 24 + 18


@pytest.mark.parametrize("container", ["matroska", "flv", "nut"])
def test_a_long_pause_in_other_containers_is_kept_and_told(tmp_path, container, caplog):
    times = [*range(48), *range(48 + 60 * RATE, 96 + 60 * RATE)]
    recording(tmp_path / "a", range(96), container, times=times)
    assert abs(len(shown(tmp_path / "a")) - (24 + 360)) <= 1
    assert "leaps forward by" in caplog.text
    assert "shown as the frame before them" in caplog.text


def test_a_damaged_time_of_days_is_taken_out(tmp_path, caplog):
    times = [*range(48), *range(48 + 40 * 3600 * RATE, 96 + 40 * 3600 * RATE)]
    recording(tmp_path / "a.nut", range(96), "nut", times=times)
    with open_video(tmp_path / "a.nut", limits=Limits(max_duration_seconds=math.inf)) as video:
        assert len(list(video.frames())) == 96
    assert "taken out" in caplog.text


@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("flv", "libx264"), ("asf", "mpeg4")])
def test_a_second_file_that_cannot_be_read_is_told(tmp_path, container, codec, caplog):
    first = recording(tmp_path / "a", range(96), container, codec)
    shown(tmp_path / "a")
    assert "follow one another" not in caplog.text
    (tmp_path / "joined").write_bytes(first + recording(tmp_path / "b", range(96, 192), container, codec))
    shown(tmp_path / "joined")
    assert f"the first alone is read, up to byte {len(first)}" in caplog.text


@pytest.mark.parametrize(
    ("container", "codec"), [("mp4", "libx264"), ("matroska", "libx264"), ("avi", "mpeg4"), ("mpegts", "libx264")]
)
@pytest.mark.parametrize("options", [{}, {"bf": "3", "g": "250"}])
def test_an_ordinary_clock_is_left_alone(tmp_path, container, codec, options, caplog):
    recording(tmp_path / "a", range(96), container, codec, options=options, offset=7)
    numbers = shown(tmp_path / "a")
    assert numbers == sorted(numbers)
    assert "clock" not in caplog.text


def test_few_frames_in_much_time_are_left_alone(tmp_path, caplog):
    """Slides, one in twenty seconds, with frames in another order."""
    times = [20 * RATE * index for index in range(12)]
    recording(tmp_path / "a.mkv", range(12), "matroska", times=times, options={"bf": "2"})
    numbers = shown(tmp_path / "a.mkv")
    assert sorted(set(numbers)) == list(range(11))  # the last lasts for less than half a tick
    assert numbers == sorted(numbers)
    assert len(caplog.records) == 1
    assert "leaps forward by 19.96 s" in caplog.text


def test_the_duration_that_headers_guess_refuses_nothing(tmp_path):
    first = recording(tmp_path / "a", range(96), "mpegts")
    (tmp_path / "j.ts").write_bytes(first + recording(tmp_path / "b", range(96), "mpegts", offset=20 * 3600 * RATE))
    assert probe(tmp_path / "j.ts").width == 16 * BITS
    assert len(shown(tmp_path / "j.ts")) == 48
