"""Images into what the visual tokenizer reads, against explicit Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from videolavit.errors import ShapeError
from videolavit.tokenizers.image_processor import preprocess_images


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def by_hand(image: np.ndarray, size: int) -> np.ndarray:
    resized = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)).astype(np.float64)
    mean = np.array([0.48145466, 0.4578275, 0.40821073])
    std = np.array([0.26862954, 0.26130258, 0.27577711])
    return ((resized / 255 - mean) / std).transpose(2, 0, 1)


@pytest.mark.parametrize(("height", "width", "size"), [(40, 64, 28), (17, 9, 28), (28, 28, 28)])
def test_whole_image_is_resized_bicubically_and_normalised(height: int, width: int, size: int) -> None:
    image = noise(height, width)
    result = preprocess_images(image, size)
    assert result.shape == (1, 3, size, size)
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result[0].numpy(), by_hand(image, size), atol=1e-6)


def test_every_way_to_hand_over_images_gives_the_same() -> None:
    first, second = noise(20, 30, seed=1), noise(20, 30, seed=2)
    expected = torch.cat([preprocess_images(first, 14), preprocess_images(second, 14)])
    assert torch.equal(preprocess_images(np.stack([first, second]), 14), expected)
    assert torch.equal(preprocess_images([first, Image.fromarray(second)], 14), expected)
    assert torch.equal(preprocess_images((Image.fromarray(first), second), 14), expected)
    assert torch.equal(preprocess_images(Image.fromarray(first), 14), expected[:1])
    flipped = np.stack([first, second])[:, ::-1, ::-1]
    assert torch.equal(preprocess_images(flipped, 14), preprocess_images(flipped.copy(), 14))


def test_images_of_different_sizes_share_a_batch() -> None:
    batch = preprocess_images([noise(20, 30), noise(33, 7)], 14)
    assert torch.equal(batch[1:], preprocess_images(noise(33, 7), 14))


def test_grey_and_rotated_images_come_as_they_are_seen() -> None:
    grey = Image.fromarray(noise(20, 30)[..., 0])
    assert torch.equal(preprocess_images(grey, 14), preprocess_images(grey.convert("RGB"), 14))
    upright = Image.fromarray(noise(20, 30))
    lying = upright.rotate(90, expand=True)
    lying.getexif()[0x0112] = 6
    assert torch.equal(preprocess_images(lying, 14), preprocess_images(upright, 14))


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((20, 30, 3), dtype=np.float32),
        np.zeros((20, 30), dtype=np.uint8),
        np.zeros((20, 30, 4), dtype=np.uint8),
        np.zeros((0, 30, 3), dtype=np.uint8),
        np.zeros((2, 4, 20, 30, 3), dtype=np.uint8),
    ],
    ids=lambda wrong: f"{wrong.dtype}{wrong.shape}",
)
def test_an_array_that_is_no_image_is_a_clear_error(wrong: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"expected \(height, width, 3\) and uint8"):
        preprocess_images(wrong, 14)


def test_no_image_is_a_clear_error() -> None:
    with pytest.raises(ShapeError, match="no image"):
        preprocess_images([], 14)
