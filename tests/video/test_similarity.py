"""Measures of similarity against their definitions, written out for one window."""

from __future__ import annotations

import math

import numpy as np
import pytest

from videolavit.video.similarity import BEST_PSNR_DB, psnr_db, ssim


def noise(seed: int, height: int = 24, width: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def brightness(image: np.ndarray) -> np.ndarray:
    return image @ np.array([0.299, 0.587, 0.114])


def test_ssim_of_one_window_is_its_definition():
    one, other = noise(0, 11, 11), noise(1, 11, 11)
    bell = np.exp(-np.square(np.arange(-5, 6)) / (2 * 1.5**2))
    weights = np.outer(bell, bell) / bell.sum() ** 2
    x, y = brightness(one), brightness(other)
    mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
    variances = (weights * x * x).sum() - mean_x**2, (weights * y * y).sum() - mean_y**2
    covariance = (weights * x * y).sum() - mean_x * mean_y
    c1, c2 = 6.5025, 58.5225
    expected = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    expected /= (mean_x**2 + mean_y**2 + c1) * (sum(variances) + c2)
    assert ssim(one, other) == pytest.approx(expected, abs=1e-6)


def test_equal_images_are_as_similar_as_can_be():
    assert ssim(noise(0), noise(0)) == pytest.approx(1)
    assert psnr_db(noise(0), noise(0)) == BEST_PSNR_DB


def test_opposite_images_are_dissimilar():
    assert ssim(noise(0), 255 - noise(0)) < -0.5
    assert abs(ssim(noise(0, 64, 64), noise(1, 64, 64))) < 0.1


def test_a_change_of_brightness_matters_less_than_one_of_structure():
    image = noise(0) // 2
    brighter, noisier = image + 10, np.clip(image.astype(int) + noise(5).astype(int) % 21 - 10, 0, 255)
    assert ssim(image, brighter) > ssim(image, noisier.astype(np.uint8))


def test_psnr_counts_all_channels_and_does_not_wrap_around():
    black, white = np.zeros((2, 4, 4, 3), np.uint8), np.full((2, 4, 4, 3), 255, np.uint8)
    assert psnr_db(black, white) == 0
    one_channel = black.copy()
    one_channel[..., 0] = 10
    assert psnr_db(black, one_channel) == pytest.approx(10 * math.log10(255**2 * 3 / 100))


def test_an_image_smaller_than_a_window_is_measured_too():
    assert ssim(noise(0, 1, 1), noise(0, 1, 1)) == pytest.approx(1)
    assert -1 <= ssim(noise(0, 3, 40), noise(1, 3, 40)) <= 1
