"""Videos that tests make themselves, with PyAV."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def moving_images(
    num_frames: int = 36, height: int = 96, width: int = 128, step: tuple[int, int] = (3, 2), seed: int = 0
) -> np.ndarray:
    """A textured image that moves by `step` = (x, y) pixels a frame; (frames, height, width, 3) uint8."""
    margin = 16 + num_frames * max(abs(step[0]), abs(step[1]))
    canvas = _texture(height + 2 * margin, width + 2 * margin, seed)
    frames = []
    for index in range(num_frames):
        top, left = margin - index * step[1], margin - index * step[0]
        frames.append(canvas[top : top + height, left : left + width])
    return np.stack(frames)


def scenes(lengths: list[int], height: int = 96, width: int = 128) -> np.ndarray:
    """Scenes of different images that move a little, one after the other."""
    parts = [moving_images(n, height, width, (1, 1), seed=10 + i) for i, n in enumerate(lengths)]
    tints = [np.roll(np.array([1.0, 0.6, 0.2]), i) for i in range(len(parts))]
    return np.concatenate([(part * tint).astype(np.uint8) for part, tint in zip(parts, tints, strict=True)])


def synthetic_video(
    images: np.ndarray,
    path: Path | None = None,
    *,
    fps: float = 24,
    codec: str = "libx264",
    container: str = "mp4",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    rotation: int = 0,
    times: list[int] | None = None,
) -> bytes:
    """Encode RGB images and return the file's bytes; write them to `path` too where one is given.

    `times` gives display times in 1/1000 s in place of an even rate; `rotation` is PyAV's, counterclockwise.
    """
    buffer = io.BytesIO()
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = pixel_format
        stream.thread_count = 1
        if times is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame = frame.reformat(format=pixel_format, threads=1)
            frame.pts = index if times is None else times[index]
            frame.time_base = 1 / rate if times is None else Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    data = buffer.getvalue()
    if path is not None:
        path.write_bytes(data)
    return data


def _texture(height: int, width: int, seed: int) -> np.ndarray:
    """Smooth noise with detail at several sizes, so that motion search has something to hold on to."""
    generator = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for size in (4, 12, 32):
        grid = generator.random((height // size + 2, width // size + 2, 3))
        rows = np.arange(height) / size
        cols = np.arange(width) / size
        r, c = rows.astype(int), cols.astype(int)
        fr, fc = (rows - r)[:, None, None], (cols - c)[None, :, None]
        top = grid[r][:, c] * (1 - fc) + grid[r][:, c + 1] * fc
        bottom = grid[r + 1][:, c] * (1 - fc) + grid[r + 1][:, c + 1] * fc
        total += top * (1 - fr) + bottom * fr
    return (total / 3 * 255).astype(np.uint8)
