"""LPIPS 0.1 with VGG16 (Zhang et al., 2018), from weights that a user gives: perceptual distance of two images.

Both images go through VGG16. At five depths, unit feature vectors are subtracted, squared, weighted by a learned
vector, and averaged over positions; the five are added.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from videolavit.errors import ConfigError, ShapeError
from videolavit.evaluation.metrics.networks import full_precision, placed

__all__ = ["Lpips"]

_CONVOLUTIONS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""Indices of VGG16's convolutions, by the depth after which features are taken."""
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


class Lpips:
    """LPIPS of pairs of images."""

    def __init__(self, vgg: Path, heads: Path, *, device: str = "cpu") -> None:
        """Take files, which are loaded when the first pair comes.

        Args:
            vgg: state dict of VGG16 with keys `features.0.weight`.
            heads: state dict of LPIPS 0.1 for VGG with keys `lin0.model.1.weight`.
            device: on which they compute, by name.
        """
        self._vgg, self._heads, self._device = vgg, heads, device

    def distance(self, one: UInt8[np.ndarray, "height width 3"], other: UInt8[np.ndarray, "height width 3"]) -> float:
        """Distance of two images of one size; 0 for equal ones.

        Raises:
            ShapeError: they have different sizes.
            ConfigError: a file or the device cannot be used.
        """
        if one.shape != other.shape:
            raise ShapeError(f"got images of shapes {one.shape} and {other.shape}, expected the same")
        with full_precision():
            pairs = zip(self._features(one), self._features(other), self._weights[1], strict=True)
            return float(sum(((a - b).square() * weight).sum(1).mean() for a, b, weight in pairs))

    def _features(self, image: np.ndarray) -> Iterator[Any]:
        """Unit vectors (1, channels, rows, cols) at five depths."""
        import torch
        from torch.nn import functional

        values = placed(torch.from_numpy(image).permute(2, 0, 1)[None], self._device).float() / 127.5 - 1
        shift, scale = (placed(torch.tensor(one).view(1, 3, 1, 1), self._device) for one in (_SHIFT, _SCALE))
        values = (values - shift) / scale
        for depth, convolutions in enumerate(_CONVOLUTIONS):
            values = functional.max_pool2d(values, 2) if depth else values
            for index in convolutions:
                weight, bias = (self._weights[0][f"features.{index}.{name}"] for name in ("weight", "bias"))
                values = functional.relu(functional.conv2d(values, weight, bias, padding=1))
            yield values / (values.norm(dim=1, keepdim=True) + 1e-10)

    @cached_property
    def _weights(self) -> tuple[dict[str, Any], list[Any]]:
        vgg, heads = (_state_dict(path, self._device) for path in (self._vgg, self._heads))
        try:
            _ = [vgg[f"features.{index}.weight"] for depth in _CONVOLUTIONS for index in depth]
            return vgg, [heads[f"lin{depth}.model.1.weight"] for depth in range(len(_CONVOLUTIONS))]
        except KeyError as error:
            raise ConfigError(f"{self._vgg} and {self._heads}: no key {error}; expected VGG16 and LPIPS 0.1") from error


def _state_dict(path: Path, device: str) -> dict[str, Any]:
    import pickle

    import torch

    from videolavit.checkpoints.placement import usable_device

    place = usable_device(device)
    try:
        return torch.load(path, map_location=place, weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise ConfigError(f"{path}: cannot be read as a state dict: {error}") from error
