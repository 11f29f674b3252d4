"""Frechet and kernel distances, inception scores and the moments under them."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from videolavit.errors import ConfigError, ShapeError
from videolavit.evaluation.metrics.distances import frechet_distance, kernel_distance
from videolavit.evaluation.metrics.inception_score import inception_score, softmax
from videolavit.evaluation.metrics.moments import Moments


def gaussian(seed: int, count: int, dim: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return shift + scale * np.random.default_rng(seed).standard_normal((count, dim))


def moments(mean: np.ndarray, covariance: np.ndarray, count: int = 1000) -> Moments:
    return Moments(count=count, mean=mean, scatter=covariance * (count - 1))


def test_frechet_distance_of_known_gaussians():
    one, other = moments(np.zeros(4), np.eye(4)), moments(np.full(4, 0.5), 4 * np.eye(4))
    assert frechet_distance(one, other) == pytest.approx(5.0, abs=1e-12)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-12)
    far = moments(np.arange(3.0), 9 * np.eye(3))
    near = moments(np.zeros(3), np.eye(3))
    assert frechet_distance(near, far) == pytest.approx(5 + 3 * 4)


@pytest.mark.parametrize(("count", "expected"), [(256, 298.9), (512, 158.3), (2048, 39.3)])
def test_two_samples_of_one_gaussian_are_as_far_apart_as_their_count_says(count, expected):
    one, other = (Moments.of(gaussian(seed, count, 400)) for seed in (1, 2))
    # Five pairs of samples scattered by 1.4, 0.6 and 0.1 around their means.
    assert frechet_distance(one, other) == pytest.approx(expected, rel=0.02)


@pytest.mark.slow
def test_ten_thousand_samples_of_one_gaussian():
    one, other = (Moments.of(gaussian(seed, 10_000, 400)) for seed in (1, 2))
    assert frechet_distance(one, other) == pytest.approx(8.05, rel=0.02)


def test_frechet_distance_is_that_of_scipy_and_torchmetrics():
    one = gaussian(3, 300, 16) @ gaussian(4, 16, 16)
    other = gaussian(5, 200, 16, shift=0.3) @ gaussian(6, 16, 16)
    found = frechet_distance(Moments.of(one), Moments.of(other))
    a, b = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    root = scipy.linalg.sqrtm(a @ b)
    shift = np.square(one.mean(0) - other.mean(0)).sum()
    assert found == pytest.approx(shift + np.trace(a + b - 2 * np.real(root)), rel=1e-9)
    assert found == pytest.approx(torchmetrics_frechet(one, other), rel=1e-6)


def torchmetrics_frechet(one: np.ndarray, other: np.ndarray) -> float:
    image = pytest.importorskip("torchmetrics.image.fid")
    metric = image.FrechetInceptionDistance(feature=Rows(one.shape[1])).set_dtype(torch.float64)
    metric.update(torch.from_numpy(one), real=True)
    metric.update(torch.from_numpy(other), real=False)
    return float(metric.compute())


class Rows(torch.nn.Module):
    """A network whose features are what it is given."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows


def test_kernel_distance_is_that_of_torchmetrics():
    image = pytest.importorskip("torchmetrics.image.kid")
    one, other = gaussian(1, 60, 8), gaussian(2, 60, 8, shift=0.4)
    metric = image.KernelInceptionDistance(feature=Rows(8), subsets=1, subset_size=60).set_dtype(torch.float64)
    metric.update(torch.from_numpy(one), real=True)
    metric.update(torch.from_numpy(other), real=False)
    expected, _ = metric.compute()
    assert kernel_distance(one, other)[0] == pytest.approx(float(expected), rel=1e-6)


def test_kernel_distance_of_equal_distributions_is_near_zero():
    def distance(shift: float) -> float:
        mean, _ = kernel_distance(gaussian(1, 800, 8), gaussian(2, 800, 8, shift), subsets=20, subset_size=200)
        return mean

    assert abs(distance(0)) < 0.02 * distance(1)
    assert distance(1) == distance(1)


def test_moments_of_parts_are_those_of_the_whole():
    features = gaussian(7, 100_000, 24, shift=50).astype(np.float32)
    whole = Moments.of(features)
    parts = [Moments.of(part) for part in np.array_split(features, 8)]
    merged = Moments.merged(parts)
    assert merged.count == 100_000
    assert np.allclose(merged.mean, whole.mean, rtol=1e-10)
    assert np.allclose(merged.covariance, whole.covariance, rtol=1e-10, atol=1e-10)
    assert np.array_equal(Moments.merged(parts).scatter, merged.scatter)
    assert np.allclose(whole.covariance, np.cov(features.astype(np.float64), rowvar=False), rtol=1e-9, atol=1e-9)


def test_batches_in_one_order_give_the_same_bits():
    features = gaussian(8, 1000, 8)

    def counted() -> Moments:
        moments = Moments.empty(8)
        for start in range(0, 1000, 128):
            moments = moments.add(features[start : start + 128])
        return moments

    assert np.array_equal(counted().scatter, counted().scatter)
    assert np.allclose(counted().covariance, np.cov(features, rowvar=False), rtol=1e-10, atol=1e-12)


def test_inception_score_runs_from_one_to_the_number_of_classes():
    assert inception_score(np.full((50, 101), 1 / 101))[0] == pytest.approx(1)
    assert inception_score(np.eye(101))[0] == pytest.approx(101)
    mean, spread = inception_score(np.tile(np.eye(4), (10, 1)), splits=10)
    assert (mean, spread) == (pytest.approx(4), pytest.approx(0))


def test_inception_score_is_that_of_torchmetrics():
    image = pytest.importorskip("torchmetrics.image.inception")
    logits = 3 * gaussian(9, 40, 11)
    metric = image.InceptionScore(feature=Rows(11), splits=1)
    metric.update(torch.from_numpy(logits))
    expected, _ = metric.compute()
    assert inception_score(softmax(logits))[0] == pytest.approx(float(expected), rel=1e-6)


def test_what_has_no_distance_is_refused():
    with pytest.raises(ShapeError, match="at least 2"):
        frechet_distance(Moments.of(np.ones((1, 3))), Moments.of(np.ones((1, 3))))
    with pytest.raises(ShapeError, match="3 and 4 dimensions"):
        frechet_distance(Moments.of(gaussian(0, 5, 3)), Moments.of(gaussian(0, 5, 4)))
    with pytest.raises(ShapeError, match="not finite"):
        Moments.of(np.array([[math.nan, 1.0]]))
    with pytest.raises(ConfigError, match="at least 2 on each side"):
        kernel_distance(gaussian(0, 1, 3), gaussian(0, 5, 3))
    with pytest.raises(ShapeError, match="sum to 1"):
        inception_score(np.ones((3, 4)))
    with pytest.raises(ConfigError, match="5 splits of 3"):
        inception_score(np.eye(3), splits=5)
