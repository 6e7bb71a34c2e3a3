"""Bootstrap intervals: how wide, how often they hold the truth, and the same in every process; ranks of a median."""

import math

import numpy as np
import pytest

from linbench.metrics.intervals import (
    basic_interval,
    bootstrap_mean,
    median_rank,
    percentile_interval,
    resample_counts,
)


def test_the_interval_of_a_mean_has_the_width_that_theory_gives():
    scores = np.random.default_rng(0).normal(0.7, 0.2, 2000)
    low, high = bootstrap_mean(scores, seed=1)
    half = 1.96 * scores.std() / math.sqrt(scores.size)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)  # 1000 draws: ±4 % at one sigma
    assert low < scores.mean() < high


def test_it_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for trial in range(200):
        low, high = bootstrap_mean(rng.uniform(0, 1, 60), seed=trial, resamples=300)
        held += low <= 0.5 <= high
    assert 180 <= held <= 198  # 190 expected, 3 sigma


def test_the_seed_decides_and_every_image_may_be_drawn():
    scores = np.linspace(0, 1, 30)
    assert bootstrap_mean(scores, seed=1) == bootstrap_mean(scores, seed=1) != bootstrap_mean(scores, seed=2)
    draws = np.array(list(resample_counts(30, 100, seed=0)))
    assert (draws.sum(axis=1) == 30).all() and (draws.sum(axis=0) > 0).all()


def test_scores_without_spread_have_an_interval_without_width():
    low, high = bootstrap_mean([0.25] * 8, seed=0)
    assert low == high == 0.25


def test_nothing_and_nan_have_no_interval():
    assert all(map(math.isnan, bootstrap_mean([], seed=0)))
    assert all(map(math.isnan, bootstrap_mean([0.5, math.nan], seed=0)))
    assert all(map(math.isnan, percentile_interval(np.array([math.nan]))))


def test_draws_that_lie_above_the_estimate_move_the_mirrored_interval_below_it():
    low, high = basic_interval(0.5, np.linspace(0.5, 0.6, 101))
    assert (low, high) == (pytest.approx(0.4025), pytest.approx(0.4975))
    assert basic_interval(0.0, np.linspace(0.0, 0.1, 11))[0] == 0.0


@pytest.mark.parametrize("n", [6, 7, 25, 100, 1001])
def test_the_ranks_are_the_narrowest_that_hold_the_median_in_95_percent(n):
    def covered(rank: int) -> float:
        return 1 - 2 * sum(math.comb(n, i) for i in range(rank)) / 2**n

    assert covered(median_rank(n)) >= 0.95 > covered(median_rank(n) + 1)


def test_fewer_than_six_samples_hold_it_nowhere():
    assert [median_rank(n) for n in range(7)] == [0, 0, 0, 0, 0, 0, 1]
