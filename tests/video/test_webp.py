"""Animated WebP is read back, our own and others'."""

import io
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from videolavit.errors import LimitError, MediaError
from videolavit.video import Limits, decompose, probe
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.io.write import write_video


def frames(count):
    images = np.zeros((count, 32, 64, 3), np.uint8)
    for index in range(count):
        images[index, :, : 4 + 4 * index] = (200, 60, 40)
    return images


def test_our_own_file_comes_back_frame_by_frame(tmp_path):
    path = write_video(frames(12), tmp_path / "a.webp", fps=6)
    seen = list(images_on_ticks(path, fps=Fraction(6)))
    assert len(seen) == 12
    assert all(np.abs(one.astype(int) - other).mean() < 6 for one, other in zip(seen, frames(12), strict=True))
    info = probe(path)
    assert (info.width, info.height) == (64, 32)
    assert info.source == str(path)
    assert len(decompose(path)) >= 1


def test_frames_last_as_long_as_they_say():
    images = [Image.fromarray(frame) for frame in frames(3)]
    file = io.BytesIO()
    images[0].save(file, "WEBP", save_all=True, append_images=images[1:], duration=[1000, 500, 2500], lossless=True)
    seen = [int((image[16, :, 0] > 120).sum()) for image in images_on_ticks(file.getvalue(), fps=Fraction(2))]
    assert [round(width / 4) for width in seen] == [1, 1, 2, 3, 3, 3, 3, 3]


def test_transparent_frames_are_over_white():
    images = [Image.new("RGBA", (32, 32), (0, 0, 0, alpha)) for alpha in (0, 255)]
    file = io.BytesIO()
    images[0].save(file, "WEBP", save_all=True, append_images=images[1:], duration=500, lossless=True)
    seen = [int(image.mean()) for image in images_on_ticks(file.getvalue(), fps=Fraction(2))]
    assert seen[0] > 250
    assert seen[1] < 5


def test_damage_and_limits():
    file = io.BytesIO()
    images = [Image.fromarray(frame) for frame in frames(4)]
    images[0].save(file, "WEBP", save_all=True, append_images=images[1:], duration=1000)
    with pytest.raises(MediaError):
        probe(file.getvalue()[: len(file.getvalue()) // 2])
    with pytest.raises(LimitError, match="max_duration_seconds"):
        probe(file.getvalue(), limits=Limits(max_duration_seconds=2))
    with pytest.raises(LimitError, match="max_width"):
        probe(file.getvalue(), limits=Limits(max_width=63))
