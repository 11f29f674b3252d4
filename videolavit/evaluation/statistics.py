"""Shares and means with their 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Estimate", "mean_interval", "wilson_interval"]

_NORMAL_95 = 1.959964
"""How many standard deviations from its mean 95 % of a normal distribution lie."""


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
