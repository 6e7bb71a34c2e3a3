"""Medians and their intervals."""

import math

import numpy as np
import pytest

from linbench.reports import statistics
from linbench.reports.statistics import coverage_of_range, resampled, summarise


def test_the_estimate_is_the_median_of_the_rounds_medians():
    found = summarise([[1.0, 2.0, 90.0], [4.0], [3.0, 5.0]])
    assert found.median == 4.0  # of 2, 4, 4; neither the least, nor the median of all samples
    assert (found.n, found.rounds) == (6, 3)


def test_three_rounds_give_an_interval_of_rounds_that_reaches_from_one_process_to_another():
    found = summarise([[10.0] * 30, [11.0] * 30, [13.0] * 30])
    assert (found.median, found.low, found.high, found.interval) == (11.0, 10.0, 13.0, "rounds")


@pytest.mark.parametrize("rounds", [1, 2])
def test_fewer_rounds_give_an_interval_of_samples(rounds):
    found = summarise([[float(i) for i in range(1, 11)]] * rounds)
    assert (found.low, found.high, found.interval) == (2.0, 9.0, "samples")  # the textbook's ranks for n = 10


def test_two_rounds_far_apart_are_both_within_the_interval():
    found = summarise([[1.0] * 8, [5.0] * 20])
    assert (found.low, found.median, found.high) == (1.0, 3.0, 5.0)


@pytest.mark.parametrize("n", [1, 5])
def test_too_few_samples_give_no_interval(n):
    found = summarise([[1.0 + i for i in range(n)]])
    assert found.interval == "none"
    assert math.isnan(found.low) and math.isnan(found.high)


@pytest.mark.parametrize("n", [4, 9])
def test_medians_of_resamples_are_distributed_as_those_of_drawn_ones(n):
    ordered = np.sort(np.random.default_rng(1).lognormal(size=n))
    generator = np.random.default_rng(2)
    drawn = np.median(generator.choice(ordered, size=(40_000, n)), axis=1)
    quick = np.concatenate([resampled([ordered], generator) for _ in range(20)])
    quantiles = [0.1, 0.3, 0.5, 0.7, 0.9]
    for value in np.quantile(drawn, quantiles):
        assert (drawn <= value).mean() == pytest.approx((quick <= value).mean(), abs=0.02)


def test_the_99th_percentile_needs_a_thousand_samples():
    assert math.isnan(summarise([[1.0] * 999]).p99)
    assert summarise([[1.0] * 1000]).p99 == 1.0


def test_the_same_samples_give_the_same_interval_and_another_salt_other_draws():
    rounds = np.random.default_rng(3).normal(10, 1, (3, 20)).tolist()
    assert (summarise(rounds, 1).draws == summarise(rounds, 1).draws).all()
    assert (summarise(rounds, 1).draws != summarise(rounds, 2).draws).any()


def test_the_interval_covers_as_promised_for_five_rounds(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 400)
    generator = np.random.default_rng(4)
    hits = 0
    for trial in range(300):
        rounds = 10 + generator.normal(0, 0.1, (5, 1)) + generator.normal(0, 0.1, (5, 20))
        found = summarise(rounds.tolist(), trial)
        hits += found.low <= 10 <= found.high
    assert 0.89 <= hits / 300 <= 0.99  # 0.94 ± four standard errors


def test_the_range_of_three_rounds_covers_three_quarters():
    assert coverage_of_range(3) == 0.75
