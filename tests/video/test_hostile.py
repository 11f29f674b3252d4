"""Files as they come from anywhere: damaged, odd or unusual ones either work, or are refused in words that help."""

from __future__ import annotations

import gc
import io
import struct
import wave
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageCms
from video.media import moving_images, synthetic_video

from videolavit.clip import Clip
from videolavit.errors import LimitError, MediaError
from videolavit.video import Limits, decompose, probe

HEIGHT, WIDTH = 48, 64
IMAGES = moving_images(24, HEIGHT, WIDTH)


def taken_apart(source: Any, size: tuple[int, int] = (HEIGHT, WIDTH), **options: Any) -> list[Clip]:
    """The clips of a video, after a look at what must hold for all of them."""
    clips = decompose(source, **options)
    assert clips
    assert [clip.start for clip in clips] == sorted({clip.start for clip in clips})
    for clip in clips:
        assert clip.size == size
        assert clip.keyframe.dtype == np.uint8
        assert clip.motion.values.shape == (2, 24, -(-size[0] // 16), -(-size[1] // 16))
        assert np.isfinite(clip.motion.values).all()
        assert 1 <= clip.num_real_frames <= 24
    return clips


def made(codec: str, container: str, pixel_format: str = "yuv420p", images: np.ndarray = IMAGES, **more: Any) -> bytes:
    """A video of 4 s, where this build of libav can encode it."""
    try:
        av.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"this build of libav cannot encode {codec}")
    return synthetic_video(
        images, fps=6, codec=codec, container=container, pixel_format=pixel_format, options=QUICKLY.get(codec), **more
    )


QUICKLY = {
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=none:frame-threads=1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libsvtav1": {"preset": "13"},
}


def still(kind: str, mode: str = "RGB", *, count: int = 1) -> bytes:
    """An image, or an animation, by Pillow."""
    images = [Image.fromarray(image).convert(mode) for image in IMAGES[:count]]
    more = {"save_all": True, "append_images": images[1:], "duration": 200} if count > 1 else {}
    buffer = io.BytesIO()
    images[0].save(buffer, kind, **more)
    return buffer.getvalue()


# Unusual, and sound


@pytest.mark.parametrize(
    ("codec", "container", "pixel_format"),
    [
        ("mpeg4", "avi", "yuv420p"),
        ("msmpeg4", "avi", "yuv420p"),
        ("mjpeg", "avi", "yuvj422p"),
        ("libx265", "matroska", "yuv420p"),
        ("libx265", "mp4", "yuv420p10le"),
        ("libvpx-vp9", "webm", "yuv420p"),
        ("libvpx-vp9", "webm", "yuva420p"),
        ("vp8", "webm", "yuv420p"),
        ("libx264", "mp4", "yuv420p10le"),
        ("libx264", "mp4", "yuv444p"),
        ("libx264", "mp4", "yuvj420p"),
        ("libx264", "mpegts", "yuv420p"),
        ("libx264", "h264", "yuv420p"),
        ("libx264", "flv", "gray"),
        ("mpeg2video", "mpeg", "yuv422p"),
        ("wmv2", "asf", "yuv420p"),
        ("gif", "gif", "rgb8"),
        ("apng", "apng", "rgba"),
        ("qtrle", "mov", "argb"),
        ("prores_ks", "mov", "yuva444p10le"),
        ("ffv1", "matroska", "gbrp14le"),
        ("rawvideo", "nut", "monow"),
        ("rawvideo", "nut", "gbrpf32le"),
    ],
)
def test_a_codec_a_container_or_a_pixel_format_is_no_obstacle(codec: str, container: str, pixel_format: str):
    [clip, *_] = taken_apart(made(codec, container, pixel_format))
    shown = Image.fromarray(IMAGES[0]).convert("L" if pixel_format in ("gray", "monow") else "RGB")
    error = np.abs(clip.keyframe.astype(int) - np.asarray(shown.convert("RGB"))).mean()
    assert error < (130 if pixel_format == "monow" else 30), "the keyframe does not look like the first image"


def test_av1_is_read():
    images = moving_images(24, 96, 128)
    taken_apart(made("libsvtav1", "mp4", images=images), (96, 128))
    taken_apart(made("libsvtav1", "matroska", "yuv420p10le", images=images), (96, 128))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (31, 17), (200, 1), (1, 200), (15, 16), (17, 16)])
def test_no_size_is_too_odd(height: int, width: int):
    images = moving_images(24, height, width)
    taken_apart(images, (height, width))
    taken_apart(made("mpeg4", "avi", images=images), (height, width))
    taken_apart(made("mpeg4", "avi", images=images), (height, width), motion="source")
    taken_apart(made("gif", "gif", "rgb8", images=images), (height, width))


def test_one_frame_is_a_clip_that_stands_still():
    for source in (IMAGES[:1], made("libx264", "mp4", images=IMAGES[:1])):
        [clip] = taken_apart(source)
        assert clip.num_real_frames == 1
        assert not clip.motion.values.any()


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("png", "RGB"), ("png", "P"), ("png", "1"), ("png", "LA"), ("png", "RGBA"), ("jpeg", "RGB"), ("jpeg", "CMYK")],
)
def test_a_still_image_is_a_clip_of_one_frame(kind: str, mode: str):
    [clip] = taken_apart(still(kind, mode))
    assert clip.num_real_frames == 1


@pytest.mark.parametrize("times", [4, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff"])
def test_a_colour_profile_crashes_nothing(kind: str, times: int):
    buffer = io.BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(IMAGES[0]).save(buffer, kind, icc_profile=profile)
    for _ in range(times):
        taken_apart(buffer.getvalue())
        gc.collect()


@pytest.mark.parametrize("kind", ["gif", "png", "webp"])
def test_animations_are_videos(kind: str):
    [clip] = taken_apart(still(kind, count=6))
    assert clip.num_real_frames in (7, 8)  # 6 images of 0.2 s


def test_an_animated_webp_from_a_pipe_is_refused_with_a_way_out():
    class Pipe:
        def __init__(self, data):
            self.read = io.BytesIO(data).read

    with pytest.raises(MediaError, match=r"animated WebP.* convert it to GIF or MP4"):
        decompose(Pipe(still("webp", count=6)))


@pytest.mark.parametrize("turn", [90, 180, 270, -90])
@pytest.mark.parametrize("motion", ["reencode", "source"])
def test_a_turned_video_is_turned_back(turn: int, motion: str):
    data = synthetic_video(IMAGES, fps=6, rotation=turn)
    upright = np.rot90(IMAGES[0], turn // 90)
    [clip] = taken_apart(data, upright.shape[:2], motion=motion)
    assert np.abs(clip.keyframe.astype(int) - upright).mean() < 15


def test_a_rotation_that_is_no_quarter_turn_is_ignored(caplog):
    taken_apart(synthetic_video(IMAGES, fps=6, rotation=45))
    assert "not a quarter turn" in caplog.text


def test_interlaced_video_is_read():
    data = synthetic_video(IMAGES, fps=6, codec="mpeg2video", container="mpegts", options={"flags": "+ildct+ilme"})
    taken_apart(data)
    taken_apart(data, motion="source")


@pytest.mark.parametrize(
    ("codec", "container"), [("libx264", "h264"), ("mpeg2video", "mpeg2video"), ("mjpeg", "mjpeg")]
)
def test_a_size_that_changes_is_brought_to_the_first(codec: str, container: str):
    sizes = [(HEIGHT, WIDTH), (96, 128), (30, 200)]
    parts = [
        made(codec, container, "yuvj420p" if codec == "mjpeg" else "yuv420p", moving_images(24, *size))
        for size in sizes
    ]
    clips = taken_apart(b"".join(parts), select="all")
    assert clips[-1].start > 0
    with pytest.raises(LimitError, match="200 x 30"):
        decompose(b"".join(parts), limits=Limits(max_width=150))


# Times


def flv_with_times(times: Sequence[int]) -> bytes:
    """An FLV file whose frames have these times in milliseconds; muxers refuse to write some of them."""
    data = bytearray(synthetic_video(IMAGES, fps=6, container="flv", options={"bf": "0"}))
    position, frame = 13, 0
    while position < len(data):
        length = int.from_bytes(data[position + 1 : position + 4], "big")
        is_image = data[position] == 9 and data[position + 12] == 1
        if is_image:
            time = struct.pack(">I", times[frame])
            data[position + 4 : position + 8] = time[1:] + time[:1]
            frame += 1
        position += 11 + length + 4
    assert frame == len(times) == 24
    return bytes(data)


@pytest.mark.parametrize(
    ("times", "num_ticks"),
    [
        ([i * 167 for i in range(24)], 24),
        ([i // 4 * 667 for i in range(24)], 21),
        ([3900 - i * 167 for i in range(24)], None),
        ([i * 7 % 24 * 167 for i in range(24)], None),
        ([0] * 24, 1),
        ([i * i * 7 for i in range(24)], 23),
        ([i * 167 + 20_000 * (i > 11) for i in range(24)], 144),
        ([i * 167 - 1900 * (i > 11) for i in range(24)], None),
    ],
    ids=["even", "duplicate", "decreasing", "shuffled", "all zero", "uneven", "with a gap", "set back"],
)
def test_no_times_are_too_strange(times: list[int], num_ticks: int | None):
    ticks: list[int] = []
    taken_apart(flv_with_times(times), progress=ticks.append)
    assert ticks[-1] <= 150
    if num_ticks is not None:
        assert abs(ticks[-1] - num_ticks) <= 1
    taken_apart(flv_with_times(times), motion="source")


@pytest.mark.parametrize(
    ("codec", "container"), [("mpeg4", "avi"), ("libx264", "h264"), ("mjpeg", "mjpeg"), ("mpeg4", "m4v")]
)
def test_missing_times_are_made_up_evenly(codec: str, container: str):
    ticks: list[int] = []
    taken_apart(made(codec, container, "yuvj420p" if codec == "mjpeg" else "yuv420p"), progress=ticks.append)
    rate = 25 if codec == "mjpeg" else 6  # what libav takes where a stream does not tell
    assert abs(ticks[-1] - 24 * 6 / rate) <= 1


def test_a_leap_in_time_beyond_the_limit_is_refused():
    times = [i * 167 + 60_000_000 * (i > 11) for i in range(24)]
    with pytest.raises(LimitError, match=r"lasts 60002.* raise max_duration_seconds"):
        decompose(flv_with_times(times))


def test_a_leap_of_more_than_a_day_is_a_damaged_time(caplog):
    """As FFmpeg's command has it."""
    ticks: list[int] = []
    taken_apart(flv_with_times([*(i * 167 for i in range(23)), 2**31 - 1]), progress=ticks.append)
    assert abs(ticks[-1] - 24) <= 1
    assert "leaps forward by 2147479" in caplog.text


def patched(data: bytes, box: bytes, offset: int, value: bytes) -> bytes:
    position = data.index(box) + offset
    return data[:position] + value + data[position + len(value) :]


@pytest.mark.parametrize(
    ("box", "offset", "value"),
    [
        (b"mvhd", 20, b"\x7f\xff\xff\xff"),
        (b"mvhd", 16, b"\0\0\0\0"),
        (b"mdhd", 20, b"\xff\xff\xff\xfe"),
        (b"mdhd", 16, b"\0\0\0\1"),
        (b"mdhd", 16, b"\0\0\0\0"),
        (b"mdhd", 16, b"\x7f\xff\xff\xff"),
        (b"stts", 12, b"\x7f\xff\xff\xff"),
    ],
)
def test_a_wrong_clock_works_or_is_refused(box: bytes, offset: int, value: bytes):
    data = patched(synthetic_video(IMAGES, fps=6, options={"bf": "0"}), box, offset, value)
    ticks: list[int] = []
    with suppress(LimitError):
        taken_apart(data, limits=Limits(max_duration_seconds=60), progress=ticks.append)
    assert len(ticks) <= 360


def test_a_huge_declared_duration_is_refused_at_once():
    data = made("mpeg4", "avi")
    position = data.index(b"strh") + 8 + 20
    slow = data[:position] + struct.pack("<II", 1_000_000_000, 1) + data[position + 8 :]
    for limits, words in ((Limits(), "43200"), (Limits(max_duration_seconds=1e5), "100000")):
        with pytest.raises(LimitError, match=f"max_duration_seconds={words}"):
            probe(slow, limits=limits)


# Damaged


def cut(data: bytes) -> Callable[[float], bytes]:
    return lambda share: data[: int(len(data) * share)]


@pytest.mark.parametrize("share", [0.001, 0.02, 0.1, 0.3, 0.5, 0.9, 0.999])
def test_a_cut_file_gives_what_is_left_or_is_refused(share: float):
    matroska = cut(synthetic_video(IMAGES, fps=6, container="matroska", options={"g": "6", "bf": "0"}))(share)
    if share < 0.3:
        with pytest.raises(MediaError, match="complete"):
            decompose(matroska)
    else:
        [clip] = taken_apart(matroska)
        assert abs(clip.num_real_frames - 24 * share) < 8


@pytest.mark.parametrize("share", [0.001, 0.02, 0.1, 0.5, 0.8])
def test_an_mp4_whose_index_was_at_the_end_is_refused_when_cut(share: float):
    with pytest.raises(MediaError, match=r"complete|fresh copy"):
        decompose(cut(synthetic_video(IMAGES, fps=6))(share))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty .0 bytes"),
        (b"x", "cannot be read as a video"),
        (b"\0" * 100_000, "cannot be read as a video"),
        (np.random.default_rng(0).bytes(300_000), "cannot be read as a video"),
        (b"This is a text, and no video.\n" * 1000, "cannot be read as a video"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "cannot be read as a video"),
        (
            b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
            "cannot be read as a video",
        ),
    ],
    ids=["empty", "one byte", "zeros", "noise", "text", "concat script", "playlist"],
)
def test_what_is_no_video_is_refused(data: bytes, words: str):
    for read in (probe, decompose):
        with pytest.raises(MediaError, match=words):
            read(data)


def test_sound_alone_is_refused():
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    with pytest.raises(MediaError, match="no video stream, only: audio; expected a file with moving images"):
        decompose(buffer.getvalue())


def test_damage_is_warned_of_once(caplog):
    data = bytearray(synthetic_video(moving_images(120, HEIGHT, WIDTH), fps=12, container="matroska"))
    noise = np.random.default_rng(0)
    data[3000:] = [byte ^ 255 if noise.random() < 0.01 else byte for byte in data[3000:]]
    taken_apart(bytes(data))
    assert caplog.text.count("skipping damaged packets") == 1
