"""Arrays and tensors as images and videos."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from videolavit.errors import PromptError
from videolavit.pipeline.array_media import image_array, video_array
from videolavit.pipeline.media import as_list_of_images, as_list_of_videos, as_video

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 8, 10, 3), dtype=np.uint8)
IMAGE = PIXELS[0]


@pytest.mark.parametrize(
    "given",
    [
        IMAGE,
        IMAGE.transpose(2, 0, 1),
        IMAGE.astype(np.float64) / 255,
        torch.from_numpy(IMAGE),
        torch.from_numpy(IMAGE).permute(2, 0, 1)[None],
        torch.from_numpy(IMAGE).permute(2, 0, 1).float() / 255,
    ],
)
def test_one_image_in_any_order_and_type(given):
    assert np.array_equal(image_array(given), IMAGE)
    assert np.array_equal(as_list_of_images(given)[0], IMAGE)


def test_half_precision_is_near():
    given = (torch.from_numpy(IMAGE).permute(2, 0, 1).float() / 255).to(torch.bfloat16)
    assert np.abs(image_array(given).astype(int) - IMAGE).max() <= 1


@pytest.mark.parametrize(
    "given",
    [
        PIXELS,
        PIXELS.transpose(0, 3, 1, 2),
        torch.from_numpy(PIXELS).permute(0, 3, 1, 2).float()[None] / 255,
        list(torch.from_numpy(PIXELS).permute(0, 3, 1, 2).float() / 255),
    ],
)
def test_one_video_in_any_order_and_type(given):
    assert np.array_equal(np.stack(list(as_video(given))), PIXELS)
    [video] = as_list_of_videos(given)
    assert np.array_equal(np.stack(list(video)), PIXELS)


def test_a_batch_of_images_is_several_and_grey_has_three_equal_channels():
    assert [np.array_equal(one, two) for one, two in zip(as_list_of_images(PIXELS), PIXELS, strict=True)] == [True] * 5
    assert np.array_equal(image_array(IMAGE[..., 0]), IMAGE[..., :1].repeat(3, -1))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.full((8, 10, 3), 200.0), "from 200 to 200"),
        (np.full((8, 10, 3), -1.0), "-1 to 1"),
        (np.full((8, 10, 3), np.nan), "expected 0 to 1"),
        (np.zeros((8, 10, 4), np.uint8), "3 channels"),
        (np.zeros((8, 10, 3), np.int64), "expected uint8"),
        (np.zeros((2, 3, 8, 10, 3), np.uint8), "as the image"),
        (torch.zeros(0, 3, 3), "3 channels"),
    ],
)
def test_what_is_no_image_is_told_before_any_work(given, words):
    with pytest.raises(PromptError, match=words):
        image_array(given)


def test_what_is_no_video_is_told():
    with pytest.raises(PromptError, match="as the video"):
        video_array(np.zeros((8, 3), np.uint8))
