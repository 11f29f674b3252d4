"""The gate for media: hostile files are refused in a process of their own, soon and in little memory."""

from __future__ import annotations

import asyncio
import base64
import io
import struct
import time
import zlib

import numpy as np
import psutil
import pytest
from PIL import Image
from server.helpers import data_url, moving_square, png

from videolavit.server.api_error import ApiError
from videolavit.server.media_gate import MediaGate
from videolavit.server.request_limits import RequestLimits
from videolavit.server.workers import MediaWorkers
from videolavit.video.processor import VideoProcessorConfig

LIMITS = RequestLimits(image_pixels=2_000_000, read_seconds=60.0, video_frames=500, video_seconds=60.0)
SMALL = VideoProcessorConfig(height=64, width=64)


class Gate:
    """A gate on an event loop of its own."""

    def __init__(self, limits=LIMITS) -> None:
        self.loop = asyncio.new_event_loop()
        self.read: list[str] = []
        self.workers = self.loop.run_until_complete(self._workers(limits))
        self.gate = MediaGate(limits, self.workers, on_read=lambda kind, seconds: self.read.append(kind))

    async def _workers(self, limits):
        return MediaWorkers(count=1, memory_bytes=limits.read_memory_bytes)

    def image(self, source):
        return self.loop.run_until_complete(self.gate.image(source, "image"))

    def video(self, source, processor=SMALL):
        return self.loop.run_until_complete(self.gate.video(source, "video", processor))

    def upload(self, path):
        self.loop.run_until_complete(self.gate.try_upload(path))

    def close(self):
        self.loop.run_until_complete(self.gate.close())
        self.loop.close()


@pytest.fixture(scope="module")
def gate():
    gate = Gate()
    gate.image(png())  # so that the process is there
    yield gate
    gate.close()


def refusal(call, source) -> ApiError:
    with pytest.raises(ApiError) as refused:
        call(source)
    assert refused.value.status == 400
    assert refused.value.param in ("image", "video")
    assert "/" not in refused.value.message.replace("image/", "").replace("video/", "")
    return refused.value


def test_an_image_comes_through_as_it_is(gate):
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    assert np.array_equal(gate.image(data_url(file.getvalue(), "image/png")), pixels)
    assert gate.read[-1] == "image"


def test_an_image_is_turned_as_it_says(gate):
    image, file = Image.new("RGB", (20, 10)), io.BytesIO()
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(file, "JPEG", exif=exif)
    assert gate.image(file.getvalue()).shape == (20, 10, 3)


def test_images_are_read_as_everywhere_else(gate):
    """Transparency over white, as `read_image` gives it."""
    from videolavit.video.io.images import read_image

    file = io.BytesIO()
    Image.new("RGBA", (8, 8), (200, 0, 0, 128)).save(file, "PNG")
    pixels = gate.image(file.getvalue())
    assert np.array_equal(pixels, read_image(file.getvalue()))
    assert pixels[0, 0, 1] > 100


def test_a_video_comes_as_frames_on_the_models_grid(gate, video_file):
    frames = gate.video(data_url(video_file, "video/mp4"))
    assert frames.images.shape == (24, 64, 64, 3)
    assert frames.fps == 6


def test_frames_through_the_gate_are_taken_apart_as_the_file_is(gate, video_file):
    from videolavit.video.processor import looked_at_clips

    processor = VideoProcessorConfig(height=64, width=64, motion_scale=2, slices=1, look_at="timeline")
    direct = looked_at_clips(video_file, processor, max_clips=4)
    through = looked_at_clips(gate.video(video_file, processor), processor, max_clips=4)
    assert len(direct) == len(through) == 1
    assert np.array_equal(direct[0].keyframe, through[0].keyframe)
    assert np.array_equal(direct[0].motion.values, through[0].motion.values)


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def text_bomb() -> bytes:
    """A PNG whose compressed text unpacks to 200 MB."""
    whole = png(8, 8)
    data = b"k\0\0" + zlib.compress(bytes(200_000_000), 9)
    chunk = struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    return whole[:33] + chunk + whole[33:]


HOSTILE_IMAGES = {
    "30,000 x 30,000 pixels": lambda: png_that_claims(30_000, 30_000),
    "just too many pixels": lambda: png(2000, 1001),
    "compressed text of 200 MB": text_bomb,
    "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "PDF": lambda: b"%PDF-1.7\n1 0 obj\n",
    "PostScript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n",
    "cut off": lambda: png(500, 500)[:100],
    "noise": lambda: np.random.default_rng(1).bytes(10_000),
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("name", HOSTILE_IMAGES)
def test_hostile_images_are_refused(gate, name):
    data = HOSTILE_IMAGES[name]()
    before = memory(gate)
    started = time.process_time()
    refused = refusal(gate.image, data)
    assert refused.code in ("media_too_large", "invalid_media")
    assert time.process_time() - started < 2
    assert memory(gate) - before < 300e6


def memory(gate) -> int:
    """Of the process that reads, now; it stays after a refusal, or is gone."""
    idle = gate.workers._idle
    return psutil.Process(idle[0].pid).memory_info().rss if idle else 0


def mp4_of(num_frames: int, fps: int, size: int = 32) -> bytes:
    import tempfile
    from pathlib import Path

    from videolavit.video.io.write import write_video

    with tempfile.TemporaryDirectory() as folder:
        frames = (np.full((size, size, 3), i % 256, np.uint8) for i in range(num_frames))
        return write_video(frames, Path(folder) / "v.mp4", fps=fps).read_bytes()


HOSTILE_VIDEOS = {
    "too many frames": lambda: mp4_of(600, 100),
    "too long": lambda: mp4_of(70, 1),
    "a playlist": lambda: b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "a list of files": lambda: b"ffconcat version 1.0\nfile /etc/passwd\n",
    "a list of addresses": lambda: b"ffconcat version 1.0\nfile http://169.254.169.254/latest\n",
    "an image": lambda: png(),
    "noise": lambda: np.random.default_rng(2).bytes(50_000),
    "cut off": lambda: mp4_of(24, 6)[:300],
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("name", HOSTILE_VIDEOS)
def test_hostile_videos_are_refused(gate, name):
    refused = refusal(gate.video, HOSTILE_VIDEOS[name]())
    assert refused.code in ("media_too_large", "invalid_media")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("data:image/svg+xml;base64,AAAA", "invalid_url"),
        ("data:video/jpeg;base64," + ",".join(["AAAA"] * 10_000), "invalid_url"),
        ("data:image/png,plain", "invalid_url"),
        ("data:image/png;base64,not*base64", "invalid_base64"),
        ("data:image/png;base64," + "A" * (4 * LIMITS.image_bytes // 3 + 8), "media_too_large"),
        ("file:///etc/passwd", "invalid_url"),
        ("/etc/passwd", "invalid_url"),
        ("http://127.0.0.1/x.png", "url_not_allowed"),
        ("http://169.254.169.254/latest/meta-data", "url_not_allowed"),
        ("HTTPS://example.com/x.png", "url_not_allowed"),
        ("", "invalid_url"),
    ],
)
def test_urls_that_are_refused(gate, url, code):
    read = list(gate.read)
    assert refusal(gate.image, url).code == code
    assert gate.read == read, "nothing was read"


def test_an_upload_is_read_as_a_whole_in_a_process_of_its_own(gate, video_file, tmp_path):
    for name, data in (("a.png", png()), ("a.mp4", video_file), ("a", video_file)):
        (tmp_path / name).write_bytes(data)
        gate.upload(tmp_path / name)
        assert gate.read[-1] == "upload"


@pytest.mark.parametrize("name", sorted({*HOSTILE_IMAGES, *HOSTILE_VIDEOS} - {"an image"}))
def test_hostile_uploads_are_refused_by_their_names_without_a_folder(gate, tmp_path, name):
    data = HOSTILE_IMAGES[name]() if name in HOSTILE_IMAGES else HOSTILE_VIDEOS[name]()
    (tmp_path / "mine.mp4").write_bytes(data)
    with pytest.raises(ApiError, match=r"^mine\.mp4: ") as refused:
        gate.upload(tmp_path / "mine.mp4")
    assert refused.value.code in ("media_too_large", "invalid_media")
    assert "/" not in str(refused.value)
    assert "bytes>" not in str(refused.value)


def test_uploads_have_the_limits_of_their_kind(tmp_path, video_file):
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "a.mp4").write_bytes(video_file)
    gate = Gate(RequestLimits(image_bytes=len(png()) - 1, video_bytes=len(video_file), read_seconds=60.0))
    try:
        gate.upload(tmp_path / "a.mp4")
        with pytest.raises(ApiError, match=rf"a\.png: has {len(png())} bytes, more than {len(png()) - 1}"):
            gate.upload(tmp_path / "a.png")
        read = list(gate.read)
        (tmp_path / "a.mp4").write_bytes(video_file + b"more")
        with pytest.raises(ApiError, match="more than"):
            gate.upload(tmp_path / "a.mp4")
        assert gate.read == read, "a file that is too large is not read"
    finally:
        gate.close()


def test_a_list_of_frames_is_no_video(gate):
    url = "data:video/jpeg;base64," + ",".join([base64.b64encode(png()).decode()] * 1000)
    assert refusal(gate.video, url).code == "invalid_url"


def test_reading_that_takes_too_long_is_ended_and_the_next_one_works(tmp_path):
    gate = Gate(RequestLimits(read_seconds=60.0))
    try:
        video = moving_square(tmp_path, 24)
        assert len(gate.video(video).images) == 24
        process = gate.workers._idle[0]
        gate.gate.limits = RequestLimits(read_seconds=0.001)
        assert "takes longer" in refusal(gate.video, video).message
        assert process.returncode is not None
        gate.gate.limits = RequestLimits(read_seconds=60.0)
        assert len(gate.video(video).images) == 24
    finally:
        gate.close()


def test_frames_that_take_too_much_memory_are_refused(video_file):
    gate = Gate(RequestLimits(frames_bytes=1_000_000, read_seconds=60.0))
    try:
        assert "frames take more" in refusal(lambda one: gate.video(one, VideoProcessorConfig()), video_file).message
    finally:
        gate.close()


def test_a_process_may_not_take_more_memory_than_it_was_given():
    gate = Gate(RequestLimits(read_memory_bytes=20_000_000, image_pixels=200_000_000, read_seconds=60.0))
    try:
        assert gate.image(png()).shape == (48, 64, 3)
        assert refusal(gate.image, png(4000, 4000)).code == "media_too_large"
        assert gate.image(png()).shape == (48, 64, 3)
    finally:
        gate.close()


def test_all_processes_end_with_the_gate():
    gate = Gate()
    gate.image(png())
    processes = list(gate.workers._idle)
    gate.close()
    assert [process.returncode is None for process in processes] == [False]
