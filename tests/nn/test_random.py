"""Streams of random numbers, one for each sample."""

from __future__ import annotations

import pytest
import torch

from videolavit.errors import ShapeError
from videolavit.nn.random import randn_per_sample, sample_generators


def test_a_sample_does_not_depend_on_the_size_of_its_batch():
    three = randn_per_sample((3, 4, 5), sample_generators(7, 3))
    two = randn_per_sample((2, 4, 5), sample_generators(7, 2))
    last = randn_per_sample((1, 4, 5), sample_generators(7, 1, first=2))
    assert torch.equal(three[:2], two)
    assert torch.equal(three[2:], last)


def test_streams_of_neighbouring_seeds_indices_and_names_all_differ():
    draws = [
        randn_per_sample((1, 8), sample_generators(seed, 1, first=first, stream=stream))
        for seed in (0, 1, -1, 2**70)
        for first in (0, 1)
        for stream in ("", "video")
    ]
    assert torch.cat(draws).unique(dim=0).shape[0] == len(draws) == 16


def test_streams_of_one_seed_are_uncorrelated():
    noise = randn_per_sample((64, 1000), sample_generators(0, 64))
    correlation = noise.corrcoef().fill_diagonal_(0)
    assert correlation.abs().max() < 0.2  # 6 standard deviations of 1 / sqrt(1000)


def test_a_seed_repeats_and_another_draw_goes_on():
    first, again = sample_generators(3, 2), sample_generators(3, 2)
    assert torch.equal(randn_per_sample((2, 6), first), randn_per_sample((2, 6), again))
    assert not torch.equal(randn_per_sample((2, 6), first), randn_per_sample((2, 6), sample_generators(3, 2)))


def test_the_type_changes_nothing_but_rounding():
    full = randn_per_sample((2, 16), sample_generators(1, 2))
    half = randn_per_sample((2, 16), sample_generators(1, 2), dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, full.bfloat16())


def test_without_generators_noise_is_fresh():
    assert not torch.equal(randn_per_sample((2, 3), None), randn_per_sample((2, 3), None))


def test_an_empty_batch_is_empty():
    assert randn_per_sample((0, 3), sample_generators(0, 0)).shape == (0, 3)


def test_errors_say_what_is_wrong():
    with pytest.raises(ShapeError, match="2 generators for a batch of 3"):
        randn_per_sample((3, 4), sample_generators(0, 2))
    with pytest.raises(ShapeError, match="not negative"):
        sample_generators(0, -1)
