import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videolavit.evaluation.statistics import Estimate, mean_interval, wilson_interval


def test_known_intervals():
    assert wilson_interval(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert mean_interval([1.0, 2.0, 3.0, 4.0]) == pytest.approx((1.2348, 3.7652), abs=1e-4)


@given(st.integers(1, 2000), st.data())
def test_a_share_lies_in_its_interval_and_the_interval_in_0_to_1(count, data):
    successes = data.draw(st.integers(0, count))
    low, high = wilson_interval(successes, count)
    assert 0 <= low <= successes / count <= high <= 1
    mirrored = wilson_interval(count - successes, count)
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-9)


def test_more_samples_tell_more():
    few, many = wilson_interval(8, 10), wilson_interval(800, 1000)
    assert many[1] - many[0] < (few[1] - few[0]) / 5


def test_truths_are_a_share_and_numbers_a_mean():
    share = Estimate.of([True, False, True, True])
    assert (share.value, share.count, share.is_share) == (0.75, 4, True)
    mean = Estimate.of([1.0, 0.0])
    assert (mean.value, mean.is_share) == (0.5, False)
    assert Estimate.of([2.0]).high == math.inf
    with pytest.raises(ValueError, match="no values"):
        Estimate.of([])
