"""Images to train an autoencoder on: frames of prepared videos, photographs, and dead leaves.

Dead leaves are overlapping discs and boxes of random size, colour and gradient. Their edges and scales are distributed
much as in photographs, so an autoencoder trained on them keeps something of real videos too.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from videolavit.data.shapes.photos import photographs
from videolavit.data.shards import ShardReader

__all__ = ["DeadLeaves", "Photographs", "VideoFrames"]

RGBImage = UInt8[np.ndarray, "height width 3"]


class VideoFrames:
    """Random frames of prepared videos, mirrored at random."""

    def __init__(self, reader: ShardReader) -> None:
        self._reader = reader

    def __len__(self) -> int:
        return len(self._reader)

    def __getitem__(self, key: tuple[int, int]) -> RGBImage:
        index, draw = key
        random = np.random.default_rng([3, draw])
        frames = self._reader.frames(index)
        return _mirrored(frames[int(random.integers(len(frames)))], random)


class DeadLeaves:
    """Drawn images, another for every draw."""

    def __init__(self, height: int, width: int) -> None:
        self._size = height, width

    def __getitem__(self, draw: int) -> RGBImage:
        height, width = self._size
        random = np.random.default_rng([4, draw])
        image = Image.new("RGB", (2 * width, 2 * height), _colour(random))
        canvas = ImageDraw.Draw(image)
        # Radii follow a power law of exponent -3, which makes the image look alike at all scales.
        smallest, largest = 10, max(height, width)
        radii = smallest / np.sqrt(random.uniform((smallest / largest) ** 2, 1, 100))
        for radius in np.sort(radii)[::-1]:
            _draw_leaf(canvas, float(radius), random, image.size)
        shrunk = image.resize((width, height), Image.Resampling.BOX)
        noise = random.normal(0, random.uniform(0, 6), (height, width, 1))
        return (np.asarray(shrunk) + noise).clip(0, 255).astype(np.uint8)


class Photographs:
    """Random crops of the photographs at hand, another for every draw, with some change of colour."""

    def __init__(self, height: int, width: int) -> None:
        self._size = height, width

    def __getitem__(self, draw: int) -> RGBImage:
        height, width = self._size
        random = np.random.default_rng([5, draw])
        images = photographs()
        photo = images[int(random.integers(len(images)))]
        largest = min(photo.height / height, photo.width / width)
        scale = math.exp(random.uniform(math.log(min(1.0, largest)), math.log(largest)))
        crop_width, crop_height = int(width * scale), int(height * scale)
        left = int(random.integers(photo.width - crop_width + 1))
        top = int(random.integers(photo.height - crop_height + 1))
        box = (left, top, left + crop_width, top + crop_height)
        crop = np.asarray(photo.resize((width, height), Image.Resampling.BICUBIC, box), dtype=np.float32)
        gains, offset = random.uniform(0.7, 1.3, 3), random.uniform(-30, 30)
        return _mirrored((crop * gains + offset).clip(0, 255).astype(np.uint8), random)


def _draw_leaf(canvas: ImageDraw.ImageDraw, radius: float, random: np.random.Generator, size: tuple[int, int]) -> None:
    x, y = random.uniform(0, size[0]), random.uniform(0, size[1])
    across, along = radius, radius * random.uniform(0.3, 1)
    colour = _colour(random)
    if random.random() < 0.5:
        canvas.ellipse((x - across, y - along, x + across, y + along), fill=colour)
    else:
        angle = random.uniform(0, math.pi)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        corners = np.array([(-across, -along), (across, -along), (across, along), (-across, along)]) @ turn + (x, y)
        canvas.polygon([tuple(corner) for corner in corners.tolist()], fill=colour)


def _colour(random: np.random.Generator) -> tuple[int, int, int]:
    grey = random.uniform(0, 255)
    red, green, blue = (grey + random.normal(0, 40, 3)).clip(0, 255).astype(int).tolist()
    return red, green, blue


def _mirrored(image: RGBImage, random: np.random.Generator) -> RGBImage:
    return np.ascontiguousarray(image[:, ::-1]) if random.random() < 0.5 else image
