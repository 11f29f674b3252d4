"""Similarity of two images or two videos: PSNR, and SSIM as it was published (Wang et al., 2004)."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import UInt8

__all__ = ["BEST_PSNR_DB", "psnr_db", "ssim"]

BEST_PSNR_DB = 100.0
"""Counted where there is no difference."""

_SIGMA = 1.5
_RADIUS = 5
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr_db(one: UInt8[np.ndarray, "*shape"], other: UInt8[np.ndarray, "*shape"]) -> float:
    """Peak signal-to-noise ratio, of one frame or of several as a whole."""
    error = float(np.square(one.astype(np.int16) - other, dtype=np.int32).mean())
    return BEST_PSNR_DB if error == 0 else min(BEST_PSNR_DB, 10 * math.log10(255**2 / error))


def ssim(one: UInt8[np.ndarray, "height width 3"], other: UInt8[np.ndarray, "height width 3"]) -> float:
    """Structural similarity of two frames' brightness, -1 to 1; 1 for equal ones.

    Windows are Gaussian, 11 x 11 with a deviation of 1.5. Only those that lie inside the image count, where one does.
    """
    x, y = (image.astype(np.float32) @ _LUMA for image in (one, other))
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x, variance_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    inner = tuple(slice(_RADIUS, -_RADIUS) if side > 2 * _RADIUS else slice(None) for side in x.shape)
    return float((luminance * structure)[inner].mean())


def _blur(values: np.ndarray) -> np.ndarray:
    from scipy import ndimage  # half a second, for those who ask for it

    return ndimage.gaussian_filter(values.astype(np.float64), _SIGMA, radius=_RADIUS, mode="reflect")
