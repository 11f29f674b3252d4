"""Shares and means with their 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64

__all__ = ["Bootstrap", "Estimate", "mean_interval", "wilson_interval"]

_NORMAL_95 = 1.959964
"""Standard deviations from its mean within which 95 % of a normal distribution lie."""
_CHUNK = 50
"""Draws of a bootstrap that are computed at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A share (0 to 1) or a mean, and where the true one lies with 95 % confidence."""

    value: float
    low: float
    high: float
    count: int
    """Of what it is the share or mean."""
    is_share: bool

    @classmethod
    def of(cls, values: Sequence[bool] | Sequence[float]) -> Estimate:
        """Share of the true ones, by Wilson; or mean of numbers, by the normal distribution."""
        if not values:
            raise ValueError("got no values, expected at least one")
        is_share = all(isinstance(value, bool) for value in values)
        low, high = wilson_interval(int(sum(values)), len(values)) if is_share else mean_interval(values)
        value = sum(values) / len(values)
        return cls(value=float(value), low=low, high=high, count=len(values), is_share=is_share)


def wilson_interval(successes: int, count: int) -> tuple[float, float]:
    """Wilson's score interval: unlike the textbook one it holds for shares near 0 and 1, and for few samples."""
    share, z2 = successes / count, _NORMAL_95**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    spread = _NORMAL_95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    # Rounding must not put an end beyond the share itself where that is 0 or 1.
    return max(0.0, min(middle - spread, share)), min(1.0, max(middle + spread, share))


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Interval of a mean; infinitely wide for a single value, which says nothing about its spread."""
    count, mean = len(values), sum(values) / len(values)
    if count == 1:
        return -math.inf, math.inf
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    reach = _NORMAL_95 * math.sqrt(variance / count)
    return mean - reach, mean + reach


class Bootstrap:
    """95 % intervals by drawing groups, such as videos, with replacement; the same draws for every measure.

    Questions on one video are right or wrong together, so that an interval over questions would be too narrow.
    """

    def __init__(self, groups: Sequence[str], *, draws: int = 1000, seed: int = 0) -> None:
        """Count groups.

        Args:
            groups: of each sample, in order.
            draws: how many sets of groups are drawn.
            seed: of the draws.
        """
        numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
        self._group = np.array([numbers[name] for name in groups], dtype=np.int64)
        self._num_groups, self._draws, self._seed = len(numbers), draws, seed

    def ratio(self, parts: Sequence[float], wholes: Sequence[float]) -> tuple[float, Float64[np.ndarray, "draws"]]:
        """Sum of `parts` over sum of `wholes`: its value, and its value in each draw.

        Args:
            parts: of each sample; for a mean its value.
            wholes: of each sample; for a mean 1, or 0 where the measure says nothing about the sample.
        """
        sums = [
            np.bincount(self._group, weights=np.asarray(values, dtype=np.float64), minlength=self._num_groups)
            for values in (parts, wholes)
        ]
        drawn = np.concatenate([times.astype(np.float64) @ np.stack(sums, axis=1) for times in self._times])
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(sums[0].sum() / sums[1].sum()), drawn[:, 0] / drawn[:, 1]

    def estimate(self, value: float, drawn: Float64[np.ndarray, "draws"], *, count: int, is_share: bool) -> Estimate:
        """Value with the interval that holds 95 % of the draws; infinitely wide for a single group."""
        drawn = drawn[np.isfinite(drawn)]
        low, high = -math.inf, math.inf
        if self._num_groups > 1 and len(drawn):
            low, high = (float(end) for end in np.quantile(drawn, (0.025, 0.975)))
        return Estimate(value=value, low=min(low, value), high=max(high, value), count=count, is_share=is_share)

    def mean(self, values: Sequence[float], *, is_share: bool = True) -> Estimate:
        """Mean of one value for each sample; samples with NaN do not count."""
        known = np.isfinite(np.asarray(values, dtype=np.float64))
        parts = np.where(known, np.asarray(values, dtype=np.float64), 0.0)
        return self.estimate(
            *self.ratio(parts.tolist(), known.astype(float).tolist()), count=int(known.sum()), is_share=is_share
        )

    @cached_property
    def _times(self) -> list[np.ndarray]:
        """Number of times that each group is drawn, in chunks of some draws: (chunk, groups)."""
        random = np.random.default_rng(self._seed)
        return [self._draw(random, min(_CHUNK, self._draws - start)) for start in range(0, self._draws, _CHUNK)]

    def _draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        chosen = random.integers(self._num_groups, size=(count, self._num_groups))
        times = [np.bincount(one, minlength=self._num_groups) for one in chosen]
        return np.stack(times).astype(np.uint8)  # a group is never drawn 256 times
