"""Small videos for tests, made by PyAV."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_movie(
    path: str | Path,
    *,
    seconds: float = 10,
    fps: int = 25,
    width: int = 160,
    height: int = 96,
    pixels_per_second: int = 12,
    seed: int = 0,
) -> Path:
    """A textured ground on which a brighter textured square moves to the right."""
    noise = np.random.default_rng(seed)
    ground = _texture(noise, height, width, 60, 120)
    square = _texture(noise, 40, 40, 150, 250)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.thread_count = 1
        for index in range(round(seconds * fps)):
            image = ground.copy()
            left = (pixels_per_second * index // fps) % (width - 40)
            image[20:60, left : left + 40] = square
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p", threads=1)))
        container.mux(stream.encode(None))
    return Path(path)


def _texture(noise: np.random.Generator, height: int, width: int, low: int, high: int) -> np.ndarray:
    coarse = noise.integers(low, high, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=0).repeat(4, axis=1)[:height, :width]
