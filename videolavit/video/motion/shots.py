"""Cuts, so that no clip straddles one; an option beyond the reference.

The encoder notices many cuts by itself, but not those that fall where an I-frame was due anyway. `CutDetector` looks at
the images: how often each brightness and colour occurs in each part changes at a cut, and hardly by motion.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from av.video.frame import VideoFrame
from einops import rearrange

from videolavit.errors import ConfigError
from videolavit.video.io.pixels import plane_samples

__all__ = ["CutDetector", "CutDetectorConfig", "shot_ends"]

_BINS = 16
_PARTS = 3
"""Parts of the image each way."""
_SAMPLES = 48
"""Samples of the image each way, about; more tell nothing new."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CutDetectorConfig:
    """Thresholds of the difference between two images that is a cut."""

    threshold: float = 0.25
    """Share of the samples, 0 to 1, whose brightness or colour must have changed within their part of the image."""
    ratio: float = 2.5
    """Factor over the usual change of the images before: strong motion changes every image."""
    memory: int = 6
    """Images that tell what is usual."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1 or self.ratio < 1 or self.memory < 1:
            raise ConfigError(f"threshold must be above 0 and at most 1, ratio and memory at least 1; got {self}")


class CutDetector:
    """Is given the images of a video in order and says before which of them a cut lies."""

    def __init__(self, config: CutDetectorConfig | None = None) -> None:
        self._config = config or CutDetectorConfig()
        self._last: np.ndarray | None = None
        self._changes: deque[float] = deque(maxlen=self._config.memory)

    def is_cut(self, image: VideoFrame) -> bool:
        """True if a cut lies between the image before and this one (8-bit planar). The first is none."""
        histograms = _histograms(image)
        last, self._last = self._last, histograms
        if last is None:
            return False
        change = float(np.abs(histograms - last).sum(-1).mean() / 2)
        usual = float(np.median(self._changes)) if self._changes else 0.0
        if change > self._config.threshold and change > self._config.ratio * usual:
            self._changes.clear()
            return True
        self._changes.append(change)
        return False


def shot_ends(keyframes: Sequence[int], cuts: Sequence[int], num_ticks: int) -> list[int]:
    """For every keyframe the tick that its shot ends before. A cut lies right before its tick."""
    ends = [*cuts, num_ticks]
    return [ends[bisect.bisect_right(cuts, keyframe)] for keyframe in keyframes]


def _histograms(image: VideoFrame) -> np.ndarray:
    """(planes x parts, bins): the share of each brightness or colour in each part of the image."""
    return np.concatenate([_plane_histograms(plane_samples(plane)) for plane in image.planes])


def _plane_histograms(samples: np.ndarray) -> np.ndarray:
    step_y, step_x = (max(1, size // _SAMPLES) for size in samples.shape)
    values = samples[::step_y, ::step_x]
    part_y, part_x = (np.arange(size) * _PARTS // size for size in values.shape)
    part = rearrange(part_y, "y -> y 1") * _PARTS + rearrange(part_x, "x -> 1 x")
    bins = part * _BINS + values // (256 // _BINS)
    counts = np.bincount(bins.ravel(), minlength=_PARTS**2 * _BINS).reshape(-1, _BINS).astype(np.float64)
    # A value near the edge of a bin counts for its neighbour too, so that a slight change of light is a slight change.
    padded = np.pad(counts, ((0, 0), (1, 1)), mode="edge")
    smooth = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return smooth / np.maximum(smooth.sum(-1, keepdims=True), 1)
