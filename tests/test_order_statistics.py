"""The ranks that hold a median."""

import math

import pytest

from linbench.order_statistics import median_rank


@pytest.mark.parametrize("n", [6, 7, 25, 100, 1001])
def test_the_ranks_are_the_narrowest_that_hold_the_median_in_95_percent(n):
    def covered(rank: int) -> float:
        return 1 - 2 * sum(math.comb(n, i) for i in range(rank)) / 2**n

    assert covered(median_rank(n)) >= 0.95 > covered(median_rank(n) + 1)


def test_fewer_than_six_samples_hold_it_nowhere():
    assert [median_rank(n) for n in range(7)] == [0, 0, 0, 0, 0, 0, 1]
