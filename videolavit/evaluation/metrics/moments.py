"""Mean and covariance of feature vectors, one batch after another, in float64 and in constant memory.

Parts that were counted by several processes are merged with the update of Chan, Golub and LeVeque (1979). Counting the
same batches in the same order gives the same bits; another order or another cut into parts differs by rounding alone
(1e-10 relative, which the tests hold).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from videolavit.errors import ShapeError

__all__ = ["Moments"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Moments:
    """Count, mean and scatter of vectors. Values are never changed; `add` and `merge` give new ones."""

    count: int
    mean: Float64[np.ndarray, "dim"]
    scatter: Float64[np.ndarray, "dim dim"]
    """Sum of outer products of deviations from the mean."""

    @classmethod
    def empty(cls, dim: int) -> Moments:
        """Of no vectors."""
        return cls(count=0, mean=np.zeros(dim), scatter=np.zeros((dim, dim)))

    @classmethod
    def of(cls, features: Float[np.ndarray, "count dim"]) -> Moments:
        """Of the rows of an array.

        Raises:
            ShapeError: not two-dimensional, or with values that are no numbers.
        """
        if features.ndim != 2:
            raise ShapeError(f"got features of shape {features.shape}, expected (count, dim)")
        if not len(features):
            return cls.empty(features.shape[1])
        if not np.isfinite(features).all():
            raise ShapeError("got features that are not finite numbers; check the network and its input range")
        values = features.astype(np.float64)
        mean = values.mean(axis=0)
        deviations = values - mean
        return cls(count=len(values), mean=mean, scatter=deviations.T @ deviations)

    @classmethod
    def merged(cls, parts: Iterable[Moments]) -> Moments:
        """Of all vectors of several parts, merged in the order given."""
        first, *others = parts
        for part in others:
            first = first.merge(part)
        return first

    def add(self, features: Float[np.ndarray, "count dim"]) -> Moments:
        """With the rows of one more batch."""
        return self.merge(Moments.of(features))

    def merge(self, other: Moments) -> Moments:
        """With the vectors of another part."""
        if self.mean.shape != other.mean.shape:
            raise ShapeError(f"got parts of {len(self.mean)} and {len(other.mean)} dimensions, expected the same")
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        shift = other.mean - self.mean
        between = np.outer(shift, shift) * (self.count * other.count / count)
        return Moments(
            count=count,
            mean=self.mean + shift * (other.count / count),
            scatter=self.scatter + other.scatter + between,
        )

    @property
    def covariance(self) -> Float64[np.ndarray, "dim dim"]:
        """Unbiased covariance.

        Raises:
            ShapeError: of fewer than two vectors.
        """
        if self.count < 2:
            raise ShapeError(f"got {self.count} feature vectors, expected at least 2 for a covariance")
        return self.scatter / (self.count - 1)
