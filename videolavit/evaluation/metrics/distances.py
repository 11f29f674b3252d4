"""Distances between two sets of feature vectors: Frechet (FVD, FID) and kernel (KVD, KID).

All arithmetic is float64. A Frechet distance depends on how many vectors each side has, even where both sides have the
same distribution: two samples of one 400-dimensional unit Gaussian are 299 apart with 256 vectors each, 158 with 512,
39 with 2 048 and 8 with 10 000. So distances of different counts are never compared, and reports print the count.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from videolavit.errors import ConfigError, ShapeError
from videolavit.evaluation.metrics.moments import Moments

__all__ = ["frechet_distance", "kernel_distance"]


def frechet_distance(one: Moments, other: Moments) -> float:
    """Squared Frechet distance of two Gaussians: |m1 - m2|^2 + tr(A + B - 2 (A B)^(1/2)).

    The trace of the root comes from the eigenvalues of A^(1/2) B A^(1/2), which has those of A B and is symmetric.

    Raises:
        ShapeError: different dimensions, or fewer than two vectors on a side.
    """
    if one.mean.shape != other.mean.shape:
        raise ShapeError(f"got features of {len(one.mean)} and {len(other.mean)} dimensions, expected the same")
    covariance, other_covariance = one.covariance, other.covariance
    root = _symmetric_root(covariance)
    values = np.linalg.eigvalsh(root @ other_covariance @ root)
    trace_of_root = np.sqrt(np.clip(values, 0, None)).sum()
    distance = np.square(one.mean - other.mean).sum()
    distance += np.trace(covariance) + np.trace(other_covariance) - 2 * trace_of_root
    return float(max(distance, 0.0))


def kernel_distance(
    one: Float[np.ndarray, "count dim"],
    other: Float[np.ndarray, "other_count dim"],
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Mean and standard deviation, over random subsets, of the unbiased squared MMD with the kernel (x.y / dim + 1)^3.

    Args:
        one: feature vectors.
        other: feature vectors of the other set.
        subsets: how many are drawn; with both sets no larger than a subset, one, of everything.
        subset_size: vectors of each side in a subset; at most as many as the smaller side has.
        seed: of the draws.

    Raises:
        ShapeError: different dimensions.
        ConfigError: fewer than two vectors on a side.
    """
    if one.shape[1:] != other.shape[1:]:
        raise ShapeError(f"got features of shapes {one.shape} and {other.shape}, expected the same dimension")
    size = min(subset_size, len(one), len(other))
    if size < 2:
        raise ConfigError(f"got {len(one)} and {len(other)} feature vectors, expected at least 2 on each side")
    random = np.random.default_rng(seed)
    count = 1 if size == len(one) == len(other) else subsets
    found = [_squared_mmd(_subset(one, size, random), _subset(other, size, random)) for _ in range(count)]
    return float(np.mean(found)), float(np.std(found))


def _symmetric_root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


def _subset(features: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    chosen = random.permutation(len(features))[:size]
    return features[chosen].astype(np.float64)


def _squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased: pairs of a vector with itself do not count."""
    within = [_kernel(z, z) for z in (x, y)]
    count = len(x)
    same = sum((kernel.sum() - np.trace(kernel)) / (count * (count - 1)) for kernel in within)
    return float(same - 2 * _kernel(x, y).mean())


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3
