"""Arrays and tensors as images and videos."""

from __future__ import annotations

import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image

from videolavit.errors import PromptError
from videolavit.pipeline.array_media import image_array, video_array
from videolavit.pipeline.media import as_list_of_images, as_list_of_videos, as_video
from videolavit.video.clips.timeline import images_on_ticks
from videolavit.video.io.images import read_image

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


@pytest.mark.parametrize(
    "given",
    [
        torch.from_numpy(IMAGE).float().div(255).to_sparse(),
        torch.complex(torch.zeros(IMAGE.shape), torch.from_numpy(IMAGE) / -255).conj().imag,
    ],
    ids=["sparse", "negated on reading"],
)
def test_tensors_of_torch_may_be_stored_in_any_way(given):
    assert np.array_equal(image_array(given), IMAGE)


def test_lists_of_frames_may_be_several_videos_and_one_video_may_stand_in_a_list():
    frames = [IMAGE, PIXELS[1]]
    for given in (frames, [frames], tuple(frames), [tuple(frames)]):
        [video] = as_list_of_videos(given)
        assert np.array_equal(np.stack(list(video)), PIXELS[:2])
        assert np.array_equal(np.stack(list(as_video(given))), PIXELS[:2])
    assert [len(video) for video in as_list_of_videos([frames, [IMAGE], PIXELS])] == [2, 1, 5]
    assert [len(video) for video in as_list_of_videos([[Image.fromarray(IMAGE)] * 2, frames])] == [2, 2]
    for several in ([frames, frames], [PIXELS, PIXELS], ["a.mp4", "b.mp4", "c.mp4"]):
        with pytest.raises(PromptError, match=f"got {len(several)} videos, expected one"):
            as_video(several)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "P", "1", "CMYK", "I;16"])
def test_frames_of_pillow_may_have_any_mode(mode, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    grey = Image.fromarray(IMAGE).convert("L")
    image = grey.convert("I").convert(mode) if mode == "I;16" else Image.fromarray(IMAGE).convert(mode)
    shown = list(images_on_ticks([image] * 3))
    expected = list(images_on_ticks([read_image(image)] * 3))
    assert len(shown) == 3
    assert np.array_equal(shown, expected)


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
        (torch.zeros(3, 8, 10, device="meta"), "holds no pixels"),
        (torch.zeros(3, 8, 10, dtype=torch.complex64).conj(), "expected uint8"),
    ],
)
def test_what_is_no_image_is_told_before_any_work(given, words):
    with pytest.raises(PromptError, match=words):
        image_array(given)


def test_what_is_no_video_is_told():
    with pytest.raises(PromptError, match="as the video"):
        video_array(np.zeros((8, 3), np.uint8))
