"""Inception score: how sure a classifier is of each sample, and how many classes it sees in all of them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from videolavit.errors import ConfigError, ShapeError

__all__ = ["inception_score", "softmax"]


def inception_score(probabilities: Float[np.ndarray, "count classes"], *, splits: int = 1) -> tuple[float, float]:
    """Mean and standard deviation over splits of exp(mean KL(p || mean p)), from 1 to the number of classes.

    Args:
        probabilities: one row for each sample, summing to 1.
        splits: consecutive parts that are scored each by itself. More splits give lower scores: TGAN and TGANv2 take 1,
            StyleGAN-V 10.

    Raises:
        ShapeError: rows do not sum to 1.
        ConfigError: more splits than samples.
    """
    values = probabilities.astype(np.float64)
    if values.ndim != 2 or not np.allclose(values.sum(axis=1), 1, atol=1e-4):
        raise ShapeError(f"got an array of shape {values.shape}, expected rows of probabilities that sum to 1")
    if not 1 <= splits <= len(values):
        raise ConfigError(f"got {splits} splits of {len(values)} samples, expected at least one sample in each")
    scores = [_score(part) for part in np.array_split(values, splits)]
    return float(np.mean(scores)), float(np.std(scores))


def softmax(logits: Float[np.ndarray, "count classes"]) -> Float[np.ndarray, "count classes"]:
    """Probabilities of logits, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def _score(values: np.ndarray) -> float:
    mean = values.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = np.where(values > 0, values * (np.log(values) - np.log(mean)), 0.0)
    return float(np.exp(divergence.sum(axis=1).mean()))
