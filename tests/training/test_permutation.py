import numpy as np
import pytest

from videolavit.training.batches import LISTED_ITEMS, Shuffled
from videolavit.training.permutation import permuted


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 37, 64, 65, 1000])
def test_every_number_comes_once(count):
    assert sorted(permuted(place, count, key=(0, 1)) for place in range(count)) == list(range(count))


def test_the_key_decides_the_order():
    orders = {
        tuple(permuted(place, 50, key=(seed, epoch)) for place in range(50)) for seed in (0, 1) for epoch in (0, 1)
    }
    assert len(orders) == 4
    assert permuted(123_456_789, 10**9, key=(7, 7)) == permuted(123_456_789, 10**9, key=(7, 7))


def test_the_order_is_as_random_as_a_drawn_one():
    order = np.array([permuted(place, 5000, key=(3,)) for place in range(5000)])
    assert abs(np.corrcoef(order, np.arange(5000))[0, 1]) < 0.05
    assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < 0.05
    steps = np.abs(np.diff(order))
    assert abs(steps.mean() / (5000 / 3) - 1) < 0.05  # of two independent places


class Large:
    def __init__(self, count):
        self._count = count

    def __len__(self):
        return self._count

    def __getitem__(self, key):
        return key


def test_a_data_set_of_any_size_takes_no_list():
    samples = Shuffled(Large(10**12), 0)
    drawn = [samples[draw][0] for draw in range(1000)]
    assert len(set(drawn)) == 1000
    assert min(drawn) >= 0
    assert max(drawn) < 10**12


def test_smaller_data_sets_keep_the_order_of_earlier_versions():
    order = np.random.default_rng([5, 0]).permutation(LISTED_ITEMS)
    samples = Shuffled(Large(LISTED_ITEMS), 5)
    assert [samples[draw][0] for draw in range(100)] == order[:100].tolist()
