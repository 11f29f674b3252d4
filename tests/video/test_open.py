from __future__ import annotations

import io
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from video.media import moving_images, synthetic_video

from videolavit.errors import ConfigError, LimitError, MediaError
from videolavit.video import Limits, open_video, probe


@pytest.fixture(scope="module")
def data() -> bytes:
    return synthetic_video(moving_images(24, 48, 64), fps=24, options={"bf": "2"})


def test_a_video_is_described(data):
    info = probe(data, image_types=True)
    assert (info.codec, info.width, info.height, info.rotation_degrees) == ("h264", 64, 48, 0)
    assert (info.frame_rate, info.duration_seconds, info.num_frames) == (Fraction(24), 1.0, 24)
    assert info.image_types is not None
    assert info.image_types[0] == "I"
    assert set(info.image_types) == {"I", "P", "B"}
    assert json.loads(json.dumps(info.as_dict()))["frame_rate"] == "24"


def test_the_size_is_that_after_the_rotation():
    info = probe(synthetic_video(moving_images(4, 48, 64), rotation=-90))
    assert (info.width, info.height, info.coded_width, info.coded_height) == (48, 64, 64, 48)
    assert info.rotation_degrees == 90


def test_the_best_stream_is_read_and_not_the_first(videos: Path):
    info = probe(videos / "nasa_13013.mp4")
    assert (info.width, info.height, info.num_video_streams, info.has_audio) == (480, 270, 2, True)


@pytest.mark.parametrize(
    "name",
    ["with space.mp4", "quote'\".mp4", "semi;colon.mp4", "$(touch x).mp4", "new\nline.mp4", "concat:a|b", "%03d.png"],
)
def test_no_file_name_is_an_instruction(data, tmp_path: Path, monkeypatch, name: str):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(data)
    assert probe(name).width == 64
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("https://example.org/video.mp4", "URL"),
        ("no such file.mp4", "no such file"),
        ("concat:a.mp4|b.mp4", "no such file"),
        (".", "folder"),
        ("a\0b", "null"),
        (b"", "empty"),
        (b"\0" * 5000, "cannot be read"),
        (np.random.default_rng(0).bytes(5000), "cannot be read"),
        (io.StringIO("text"), "text"),
    ],
)
def test_what_is_no_video_is_explained(source, words: str):
    with pytest.raises(MediaError, match=words):
        probe(source)


def test_a_closed_file_object_is_explained(data):
    file = io.BytesIO(data)
    file.close()
    with pytest.raises(MediaError, match="closed"):
        probe(file)


def test_a_script_inside_a_file_opens_no_other_file(data, tmp_path: Path):
    (tmp_path / "secret.mp4").write_bytes(data)
    script = f"ffconcat version 1.0\nfile {tmp_path / 'secret.mp4'}\n".encode()
    with pytest.raises(MediaError):
        probe(script)


def test_sound_alone_is_no_video():
    import wave

    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    with pytest.raises(MediaError, match="no video stream, only: audio"):
        probe(buffer.getvalue())


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif", "bmp", "tiff"])
def test_an_image_is_a_video_of_one_frame(kind: str):
    buffer = io.BytesIO()
    Image.fromarray(moving_images(1, 48, 64)[0]).save(buffer, kind)
    with open_video(buffer.getvalue()) as video:
        [frame] = video.frames()
    assert (frame.width, frame.height) == (64, 48)


def test_a_truncated_file_gives_the_frames_before_the_break():
    data = synthetic_video(moving_images(48, 48, 64), container="matroska", options={"g": "6", "bf": "0"})
    with open_video(data[: len(data) // 2]) as video:
        assert 5 < len(list(video.frames())) < 48


def test_damaged_packets_are_skipped(videos: Path):
    with open_video(videos / "corrupted.mp4") as video:
        assert 0 < len(list(video.frames())) <= 50


@pytest.mark.parametrize(
    ("limits", "option"),
    [
        (Limits(max_width=63), "max_width"),
        (Limits(max_height=47), "max_height"),
        (Limits(max_pixels=3000), "max_pixels"),
        (Limits(max_duration_seconds=0.5), "max_duration_seconds"),
        (Limits(max_bytes=100), "max_bytes"),
    ],
)
def test_limits_name_the_option_that_raises_them(data, limits: Limits, option: str):
    with pytest.raises(LimitError, match=option):
        probe(data, limits=limits)


def test_limits_must_be_positive():
    with pytest.raises(ConfigError, match="max_width"):
        Limits(max_width=0)


def test_failed_and_closed_readers_leave_no_file_open(data, tmp_path: Path):
    good, bad = tmp_path / "good.mp4", tmp_path / "bad.mp4"
    good.write_bytes(data)
    bad.write_bytes(b"\0" * 1000)
    before = len(psutil.Process().open_files())
    probe(good)
    for refused in ({"limits": Limits(max_width=8)}, {}):
        with pytest.raises(MediaError):
            probe(bad if not refused else good, **refused)
    assert len(psutil.Process().open_files()) == before


def test_a_closed_reader_says_so(data):
    with open_video(data) as video:
        pass
    with pytest.raises(MediaError, match="closed"):
        list(video.frames())


def test_rewinding_starts_again(data):
    with open_video(data) as video:
        first = [frame.pts for frame in video.frames()]
        video.rewind()
        assert [frame.pts for frame in video.frames()] == first
