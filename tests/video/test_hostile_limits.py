"""Limits: every one is an option with a safe default, and what is too large is refused before memory is spent on it."""

from __future__ import annotations

import io
import json
import math
import os
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from command_line import one_message
from command_line import videolavit as run
from PIL import Image
from video.media import moving_images, synthetic_video

from videolavit.errors import ConfigError, LimitError, MediaError
from videolavit.video import Limits, decompose, iter_clips, probe
from videolavit.video.io.mp4_tables import count_index_entries

IMAGES = moving_images(24, 48, 64)


@pytest.fixture(scope="module")
def data() -> bytes:
    return synthetic_video(IMAGES, fps=6, options={"bf": "0"})


# The options


@pytest.mark.parametrize(
    ("option", "just_enough", "too_little"),
    [("max_width", 64, 63), ("max_height", 48, 47), ("max_pixels", 3072, 3071), ("max_duration_seconds", 4, 3.9)],
)
def test_a_limit_allows_what_it_says_and_no_more(data, option: str, just_enough: float, too_little: float):
    for source in (data, synthetic_video(IMAGES, fps=6, container="matroska")):
        assert decompose(source, limits=Limits(**{option: just_enough}))
        with pytest.raises(LimitError, match=f"more than {option}={too_little} allows; raise {option}"):
            decompose(source, limits=Limits(**{option: too_little}))


def test_the_size_of_the_file_is_limited(data):
    assert decompose(data, limits=Limits(max_bytes=len(data)))
    with pytest.raises(LimitError, match=f"has {len(data)} bytes, more than max_bytes={len(data) - 1} allows"):
        decompose(data, limits=Limits(max_bytes=len(data) - 1))


def test_limits_may_be_as_large_as_one_likes(data):
    limits = Limits(**dict.fromkeys(("max_bytes", "max_width", "max_height", "max_pixels", "max_index_entries"), 2**70))
    assert decompose(data, limits=limits)
    assert decompose(data, limits=Limits(max_duration_seconds=math.inf))


@pytest.mark.parametrize(
    "name", ["frames_per_clip", "max_clips", "cell", "threads", "memory_bytes", "gop", "slices", "bit_rate"]
)
@pytest.mark.parametrize("value", [-1, 0, 2**70])
def test_options_out_of_range_are_refused_before_anything_is_read(name: str, value: int):
    with pytest.raises(ConfigError, match=f"got {name}={value}, expected 1 to"):
        iter_clips("no such file", **{name: value})


def test_defaults_allow_8k_hours_and_refuse_what_the_encoder_cannot_take():
    limits = Limits()
    limits.check_size(7680, 4320, "8K")
    limits.check_duration(10 * 3600, "ten hours")
    for size in ((8192, 16), (16, 8192), (8191, 8191)):
        with pytest.raises(LimitError):
            limits.check_size(*size, "large")


# Bombs


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_beside(kind: bytes, unpacked_bytes: int) -> bytes:
    """A small image with a text or profile that unpacks to so much."""
    buffer = io.BytesIO()
    Image.fromarray(IMAGES[0]).save(buffer, "png")
    start = buffer.getvalue().index(b"IDAT") - 4
    packed = chunk(kind, b"name\0\0" + zlib.compress(bytes(unpacked_bytes)))
    return buffer.getvalue()[:start] + packed + buffer.getvalue()[start:]


def png(width: int, height: int) -> bytes:
    """An image of which there is next to nothing but the size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def declared(kind: str, width: int, height: int) -> bytes:
    """A small image whose header says that it is large."""
    buffer = io.BytesIO()
    Image.fromarray(IMAGES[0]).save(buffer, kind)
    data = bytearray(buffer.getvalue())
    if kind == "gif":
        data[6:10] = struct.pack("<HH", width, height)
    elif kind == "bmp":
        data[18:26] = struct.pack("<ii", width, height)
    else:
        start = data.index(b"\xff\xc0") + 5
        data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def wide(codec: str, container: str, width: int = 16384) -> bytes:
    return synthetic_video(np.zeros((2, 16, width, 3), np.uint8), codec=codec, container=container)


def box(kind: bytes, *content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, content)), kind) + b"".join(content)


def table(*numbers: int) -> bytes:
    """Version and flags 0, and numbers."""
    return struct.pack(f">{1 + len(numbers)}I", 0, *numbers)


def find(data: bytes, path: list[bytes], start: int = 0, end: int | None = None) -> tuple[int, int]:
    """Start and length of a box."""
    while start < (len(data) if end is None else end):
        length, kind = struct.unpack(">I4s", data[start : start + 8])
        if kind == path[0]:
            return (start, length) if len(path) == 1 else find(data, path[1:], start + 8, start + length)
        start += length
    raise KeyError(path)


def with_box(data: bytes, path: list[bytes], new: bytes) -> bytes:
    """An MP4 file, its index at the end, with one box replaced."""
    changed = bytearray(data)
    start, length = find(data, path)
    for depth in range(1, len(path)):
        outer, outer_length = find(data, path[:depth])
        changed[outer : outer + 4] = struct.pack(">I", outer_length + len(new) - length)
    changed[start : start + length] = new
    return bytes(changed)


TRACK = [b"moov", b"trak"]
TABLES = [*TRACK, b"mdia", b"minf", b"stbl"]


def many_samples(data: bytes, count: int = 50_000_000) -> bytes:
    """All of one byte, so that no list of sizes is needed."""
    data = with_box(data, [*TABLES, b"stsz"], box(b"stsz", table(1, count)))
    data = with_box(data, [*TABLES, b"stsc"], box(b"stsc", table(1, 1, count, 1)))
    return with_box(data, [*TABLES, b"stts"], box(b"stts", table(1, count, 1)))


def many_edits(data: bytes, count: int = 5000, samples: int = 100_000) -> bytes:
    """Each shows the whole track again."""
    sizes = table(0, samples) + struct.pack(f">{samples}I", *[10] * samples)
    data = with_box(data, [*TABLES, b"stsz"], box(b"stsz", sizes))
    data = with_box(data, [*TABLES, b"stsc"], box(b"stsc", table(1, 1, samples, 1)))
    data = with_box(data, [*TABLES, b"stts"], box(b"stts", table(1, samples, 512)))
    edits = table(count) + struct.pack(">IiI", samples * 100, 0, 65536) * count
    return with_box(data, [*TRACK, b"edts"], box(b"edts", box(b"elst", edits)))


def many_tracks(data: bytes, count: int = 900) -> bytes:
    start, length = find(data, TRACK)
    return with_box(data, TRACK, data[start : start + length] * count)


def long_run(data: bytes, count: int = 50_000_000) -> bytes:
    """A fragment that declares frames of no size and no time of their own."""
    buffer = io.BytesIO()
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(buffer, "w", format="mp4", options=options) as output, av.open(io.BytesIO(data)) as source:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    run_of_frames = box(b"trun", struct.pack(">IIi", 1, count, 200))
    return with_box(buffer.getvalue(), [b"moof", b"traf", b"trun"], run_of_frames)


def compressed_index(data: bytes) -> bytes:
    """The movie header packed as old QuickTime files have it."""
    start, length = find(data, [b"moov"])
    packed = zlib.compress(data[start : start + length])
    compressed = box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", struct.pack(">I", length), packed))
    return data[:start] + box(b"moov", compressed)


BOMBS: dict[str, Callable[[bytes], bytes]] = {
    "png 16384": lambda data: png(16384, 16384),
    "png 65535": lambda data: png(65535, 65535),
    "gif 65535": lambda data: declared("gif", 65535, 65535),
    "jpeg 65535": lambda data: declared("jpeg", 65535, 65535),
    "bmp 2147483647": lambda data: declared("bmp", 2**31 - 1, 2**31 - 1),
    "ffv1 16384 wide": lambda data: wide("ffv1", "matroska"),
    "h264 16384 wide": lambda data: wide("libx264", "mp4"),
    "text of 200 MB": lambda data: png_beside(b"zTXt", 200_000_000),
    "profile of 200 MB": lambda data: png_beside(b"iCCP", 200_000_000),
    "many samples": many_samples,
    "many samples, compressed": lambda data: compressed_index(many_samples(data)),
    "many edits": many_edits,
    "many tracks": many_tracks,
    "long run": long_run,
}

MEASURE = """
import json, sys
from videolavit.errors import VideoLaVITError
from videolavit.video import decompose, probe
def peak(): return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) // 1024
probe(sys.argv[1])
before, messages = peak(), {}
for path in sys.argv[2:]:
    for read in (probe, decompose):
        try:
            read(path)
        except VideoLaVITError as error:
            messages[path] = str(error)
print(json.dumps([peak() - before, messages]))
"""


def test_a_bomb_is_refused_before_memory_is_spent(data, tmp_path: Path):
    (tmp_path / "sound.mp4").write_bytes(data)
    paths = []
    for name, bomb in BOMBS.items():
        paths.append(str(tmp_path / name))
        Path(paths[-1]).write_bytes(bomb(data))
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "sound.mp4"), *paths]
    megabytes, messages = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert sorted(messages) == sorted(paths), "each is refused"
    assert megabytes < 60, "without the limits it is 3500"


def test_refusing_a_bomb_says_why(data):
    for bomb, words in (
        (png(16384, 16384), "raise max_pixels .* if you trust it"),
        (wide("libx264", "mp4"), "16384 x 16 pixels, more than max_width=8191"),
        (many_samples(data), "declare 50000000 samples, more than its .* bytes can hold"),
        (many_tracks(data), "Cannot allocate memory"),
    ):
        with pytest.raises(MediaError, match=words):
            probe(bomb)


def test_a_bomb_may_be_let_through():
    assert probe(wide("libx264", "mp4"), limits=Limits(max_width=16384)).width == 16384


def test_samples_are_counted_as_libav_lists_them(data, videos: Path):
    def count(data: bytes) -> int:
        return count_index_entries(io.BytesIO(data), len(data))

    assert count(data) == 24
    assert count(long_run(data, 24)) == 24
    assert count(compressed_index(data)) == 24
    assert count(many_tracks(data, 3)) == 72
    assert count(many_edits(data, 7, 1000)) == 7000
    assert count(synthetic_video(IMAGES, container="matroska")) == 0
    for path in videos.glob("*.mp4"):
        with open(path, "rb") as file, av.open(str(path)) as container:
            frames = sum(stream.frames for stream in container.streams)
            assert frames <= count_index_entries(file, path.stat().st_size) <= 4 * frames


def test_tables_of_a_large_file_are_limited_too(data):
    padded = many_samples(data, 150_000) + box(b"free", bytes(200_000))
    with pytest.raises(LimitError, match="declare 150000 samples, more than max_index_entries=149999 allows"):
        probe(padded, limits=Limits(max_index_entries=149_999))


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_a_text_or_a_profile_of_a_usual_size_is_no_obstacle(kind: bytes):
    assert probe(png_beside(kind, 1_000_000)).width == 64
    with pytest.raises(MediaError, match=r"unpack to more than .*; save the image without them"):
        probe(png_beside(kind, 20_000_000))


def test_a_compressed_index_is_read(data):
    assert probe(compressed_index(data)).width == 64


@pytest.mark.parametrize("length", [0, 1, 7, 2**31, 2**32 - 1])
def test_lengths_of_boxes_that_make_no_sense_end_the_count(length: int):
    content = struct.pack(">I4s", length, b"ftyp") + bytes(24)
    assert count_index_entries(io.BytesIO(content), len(content)) == 0


# In a command


def test_commands_take_limits_and_refuse_in_one_message(data, tmp_path: Path):
    video, bomb = tmp_path / "video.mp4", tmp_path / "bomb.png"
    video.write_bytes(data)
    bomb.write_bytes(png(65535, 65535))
    reconstruct = ["reconstruct", video, "-o", "a.mp4", "--detokenizer", "warp"]
    for command in (["info", video], ["decompose", video, "-o", tmp_path / "a"], reconstruct):
        answer = run(*command, "--max-width", "63")
        assert answer.returncode == 1
        assert "64 x 48 pixels, more than --max-width 63 allows; raise --max-width if you trust" in one_message(answer)
    answer = run("info", bomb)
    assert answer.returncode == 1
    assert "more than --max-width 8191 allows; raise --max-width if you trust it" in one_message(answer)
    assert run("info", video, "--max-pixels", "3072").returncode == 0


def test_a_name_cannot_write_to_the_terminal(tmp_path: Path):
    path = tmp_path / "a\n\x1b[31mb.mp4"
    path.write_bytes(b"no video")
    for command in (["info", path], ["decompose", path, "-o", tmp_path / "out"]):
        answer = run(*command)
        assert answer.returncode == 1
        assert "a\\n\\x1b[31mb.mp4: cannot be read as a video" in one_message(answer)


def test_info_reads_a_pipe_once(data, tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_bytes(data), daemon=True).start()
    answer = run("info", pipe, seconds=60)
    assert answer.returncode == 0
    assert "from a pipe" in answer.stdout
