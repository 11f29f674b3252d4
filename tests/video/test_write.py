"""Files that are complete or absent, with their metadata inside."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import time

import av
import jaxtyping
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from video.media import moving_images

from videolavit.errors import MediaError, OutputError
from videolavit.video.io.write import read_metadata, write_video

EXTENSIONS = [".mp4", ".gif", ".webp", ".png"]
METADATA = {"prompt": 'a "red" häuschen\nat 夜', "seed": 3, "options": {"slices": 16, "list": [1, 2.5, None]}}


def decoded(path) -> np.ndarray:
    with av.open(str(path)) as container:
        frames = [frame.reformat(format="rgb24", threads=1).to_ndarray() for frame in container.decode(video=0)]
    return np.stack(frames)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_metadata_comes_back_and_equal_input_gives_equal_bytes(tmp_path, extension):
    frames = moving_images(7)
    first = write_video(frames, tmp_path / f"a{extension}", metadata=METADATA)
    second = write_video(iter(frames), tmp_path / f"b{extension.upper()}", metadata=METADATA)
    assert read_metadata(first) == METADATA
    assert first.read_bytes() == second.read_bytes()
    assert sorted(os.listdir(tmp_path)) == sorted([first.name, second.name])


text = st.text(st.characters(codec="utf-8"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("extension", EXTENSIONS)
@settings(max_examples=15, deadline=None)
@given(metadata=st.dictionaries(text, json_values, max_size=4))
def test_any_json_survives(tmp_path_factory, extension, metadata):
    path = tmp_path_factory.mktemp("metadata") / f"a{extension}"
    assert read_metadata(write_video(moving_images(2, 16, 16), path, metadata=metadata)) == metadata


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_long_metadata_survives(tmp_path, extension):
    metadata = {"text": "x" * 100_000}
    if extension == ".webp":
        metadata = {"text": "x" * 60_000}  # EXIF ends at 64 kB.
    assert read_metadata(write_video(moving_images(2), tmp_path / f"a{extension}", metadata=metadata)) == metadata


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_file_without_metadata_has_none(tmp_path, extension):
    assert read_metadata(write_video(moving_images(1), tmp_path / f"a{extension}")) == {}


def test_a_foreign_comment_is_no_metadata(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.gif", comment=b"made by hand")
    assert read_metadata(tmp_path / "a.gif") == {}


def test_what_is_no_image_has_no_metadata_to_read(tmp_path):
    for name in ("a.mp4", "a.gif", "a.png"):
        (tmp_path / name).write_bytes(b"not a video")
        with pytest.raises(MediaError, match="cannot read metadata"):
            read_metadata(tmp_path / name)


@pytest.mark.parametrize(("height", "width"), [(96, 128), (95, 128), (96, 127), (95, 127), (1, 1)])
def test_mp4_shows_what_was_written(tmp_path, height, width):
    # Grey, as yuv420p halves the resolution of colour.
    frames = moving_images(12, 96, 128)[:, :height, :width, :1].repeat(3, axis=-1)
    path = write_video(frames, tmp_path / "a.mp4", fps=6, crf=1)
    shown = decoded(path)
    assert shown.shape == (12, height + height % 2, width + width % 2, 3)
    assert np.abs(shown[:, :height, :width].astype(int) - frames).mean() < 1
    assert np.abs(shown[:, -1].astype(int) - shown[:, height - 1]).mean() < 1


def test_mp4_plays_everywhere(tmp_path):
    path = write_video(moving_images(12), tmp_path / "a.mp4", fps=30000 / 1001)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == pytest.approx(30000 / 1001, rel=1e-4)
        assert container.duration / 1e6 == pytest.approx(12 * 1001 / 30000, abs=1e-3)


def test_colours_come_back_through_decompose(tmp_path):
    from videolavit.video import decompose

    frames = np.broadcast_to(np.array([200, 40, 90], np.uint8), (26, 64, 64, 3))
    [clip] = decompose(write_video(frames, tmp_path / "a.mp4"))
    assert np.abs(clip.keyframe.astype(int) - frames[0]).max() <= 3


@pytest.mark.parametrize(("extension", "per_second"), [(".gif", 100), (".webp", 1000)])
def test_rounding_of_durations_does_not_add_up(tmp_path, extension, per_second):
    frames = moving_images(31)
    with Image.open(write_video(frames, tmp_path / f"a{extension}", fps=7)) as image:
        durations = []
        for index in range(image.n_frames):
            image.seek(index)
            image.load()
            durations.append(image.info["duration"])
    assert len(durations) == 31
    assert abs(sum(durations) / 1000 - 31 / 7) <= 0.5 / per_second + 1e-9


@pytest.mark.parametrize(("extension", "allowed"), [(".gif", 12), (".webp", 6)])
def test_animations_show_what_was_written(tmp_path, extension, allowed):
    frames = moving_images(5)
    with Image.open(write_video(frames, tmp_path / f"a{extension}")) as image:
        for index, frame in enumerate(frames):
            image.seek(index)
            assert np.abs(np.asarray(image.convert("RGB")).astype(int) - frame).mean() < allowed


def test_a_sheet_holds_every_frame_in_reading_order(tmp_path):
    frames = moving_images(5, 20, 30)
    sheet = np.asarray(Image.open(write_video(frames, tmp_path / "a.png", columns=2)))
    assert sheet.shape == (60, 60, 3)
    assert (sheet[20:40, 30:] == frames[3]).all()
    assert not sheet[40:, 30:].any()


@pytest.mark.parametrize(
    "name", ["with space.mp4", "q'uo\"te.mp4", "a;b$c.mp4", "new\nline.mp4", "100%03d.mp4", "a:b.mp4"]
)
def test_any_name_will_do(tmp_path, name):
    path = write_video(moving_images(2), tmp_path / name)
    assert decoded_size(path) == 2


def decoded_size(path) -> int:
    with open(path, "rb") as file, av.open(file) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "no frames"),
        ([np.zeros((4, 4, 3))], "float64"),
        ([np.zeros((4, 4), np.uint8)], "expected an array"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 6, 3), np.uint8)], "frame 1: got an image of"),
        ([np.zeros((0, 4, 3), np.uint8)], "at least one pixel"),
    ],
)
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_frames_that_make_no_video_are_refused_and_leave_nothing(tmp_path, extension, frames, message):
    with pytest.raises(OutputError, match=message):
        write_video(frames, tmp_path / f"a{extension}")
    assert os.listdir(tmp_path) == []


def test_names_that_cannot_be_written_are_refused(tmp_path):
    (tmp_path / "folder.mp4").mkdir()
    for path, message in {
        "a.avi": "unknown extension '.avi', expected one of .mp4",
        "a": "unknown extension ''",
        "none/a.mp4": "create it first",
        "folder.mp4": "is a folder",
    }.items():
        with pytest.raises(OutputError, match=message):
            write_video(moving_images(2), tmp_path / path)


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MediaError])
def test_an_error_among_the_frames_leaves_the_old_file(tmp_path, extension, error):
    path = tmp_path / f"a{extension}"
    path.write_bytes(b"old")

    def frames():
        yield from moving_images(3)
        raise error("stop")

    with pytest.raises(error):
        write_video(frames(), path)
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path, extension):
    noise = np.random.default_rng(0).integers(0, 256, (40, 128, 128, 3), dtype=np.uint8)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            write_video(noise, tmp_path / f"a{extension}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(tmp_path) == []


ENDLESS = """
import sys, itertools, numpy as np
from videolavit.video.io.write import write_video
frames = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
print("ready", flush=True)
write_video(itertools.cycle(frames), sys.argv[1])
"""


def test_ctrl_c_leaves_nothing(tmp_path):
    path = tmp_path / "a.mp4"
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen_to_ctrl_c,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        until = time.monotonic() + 60
        while not os.listdir(tmp_path) and time.monotonic() < until:
            time.sleep(0.05)
        assert os.listdir(tmp_path) != [path.name]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode != 0
    assert os.listdir(tmp_path) == []


def test_a_long_video_takes_flat_memory(tmp_path):
    process = psutil.Process()
    frames = moving_images(8, 240, 320)
    used = []

    def many():
        for index in range(600):
            if index in (150, 599):
                used.append(process.memory_info().rss)
            yield frames[index % 8]

    write_video(many(), tmp_path / "a.mp4")
    assert used[1] - used[0] < 30e6  # The frames alone are 100 MB.


def listen_to_ctrl_c() -> None:
    """A shell that runs the tests in the background makes all that they start deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("crf", [-1, 52, 99, 18.5, "18", True])
def test_a_quality_that_there_is_not_is_refused(tmp_path, crf, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    with pytest.raises(OutputError, match="crf="):
        write_video(np.zeros((2, 16, 16, 3), np.uint8), tmp_path / "a.mp4", crf=crf)
    assert not list(tmp_path.iterdir())


def test_names_of_metadata_may_be_anything(tmp_path, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    path = write_video(np.zeros((2, 16, 16, 3), np.uint8), tmp_path / "a.mp4", metadata={1: 2, "a": 3})
    assert read_metadata(path) == {"1": 2, "a": 3}


def test_a_link_stays_and_the_file_it_points_at_is_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    link = tmp_path / "image.png"
    link.symlink_to(tmp_path / "disk" / "there.png")
    for value in (10, 20):  # the first time nothing is there yet
        write_video([np.full((4, 6, 3), value, np.uint8)], link)
        assert link.is_symlink()
        assert np.asarray(Image.open(tmp_path / "disk" / "there.png"))[0, 0, 0] == value
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["there.png"]


def test_a_pipe_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(OutputError, match="is a pipe or a device"):
        write_video([np.zeros((4, 6, 3), np.uint8)], tmp_path / "pipe.png")
    assert stat.S_ISFIFO((tmp_path / "pipe.png").stat().st_mode)
