"""Medians and their intervals."""

import math

import numpy as np
import pytest

from linbench.reports.statistics.latency_summary import contrast, summarize, t_quantile, two_sided_p

SIMULATIONS = 1000


def test_the_estimate_is_the_median_of_the_rounds_medians():
    result = summarize([[1.0, 2.0, 90.0], [4.0], [3.0, 5.0]])
    assert result.median == 4.0  # of 2, 4, 4; neither the least, nor the median of all samples
    assert (result.n, result.rounds) == (6, 3)


def test_three_rounds_give_the_t_interval_of_their_logarithms():
    result = summarize([[10.0] * 30, [11.0] * 30, [13.0] * 30])
    logs = np.log([10, 11, 13])
    half = 4.30265 * logs.std(ddof=1) / math.sqrt(3)  # the table's t for 2 degrees of freedom
    assert (result.median, result.interval) == (11.0, "rounds")
    assert (math.log(result.low), math.log(result.high)) == pytest.approx((logs.mean() - half, logs.mean() + half))


def test_an_interval_holds_the_estimate_even_where_half_of_the_rounds_are_slow():
    result = summarize([[10.0]] * 11 + [[20.0]] * 9)
    assert result.low == result.median == 10.0 < result.high


@pytest.mark.parametrize("rounds", [1, 2])
def test_fewer_rounds_give_an_interval_of_samples(rounds):
    result = summarize([[float(i) for i in range(1, 11)]] * rounds)
    assert (result.low, result.high, result.interval) == (2.0, 9.0, "samples")  # the textbook's ranks for n = 10


def test_two_rounds_far_apart_are_both_within_the_interval():
    result = summarize([[1.0] * 8, [5.0] * 20])
    assert (result.low, result.median, result.high) == (1.0, 3.0, 5.0)


@pytest.mark.parametrize("n", [1, 5])
def test_too_few_samples_give_no_interval(n):
    result = summarize([[1.0 + i for i in range(n)]])
    assert result.interval == "none"
    assert math.isnan(result.low) and math.isnan(result.high)


def test_the_99th_percentile_needs_a_thousand_samples():
    assert math.isnan(summarize([[1.0] * 999]).p99)
    assert summarize([[1.0] * 1000]).p99 == 1.0


TABLE = {1: 12.7062, 2: 4.30265, 4: 2.77645, 9: 2.26216, 30: 2.04227}  # of any textbook: two-sided 5 %


@pytest.mark.parametrize("freedom", TABLE)
def test_students_t_is_that_of_the_tables(freedom):
    assert t_quantile(freedom) == pytest.approx(TABLE[freedom], rel=1e-5)
    assert two_sided_p(-TABLE[freedom], freedom) == pytest.approx(0.05, rel=1e-4)


def test_students_t_with_much_freedom_is_normal_and_with_one_degree_cauchys():
    for t in (0.0, 0.5, 1.96, 5.0, 300.0):
        assert two_sided_p(t, 1e9) == pytest.approx(math.erfc(t / math.sqrt(2)), abs=1e-6)
        assert two_sided_p(t, 1) == pytest.approx(1 - 2 * math.atan(t) / math.pi, abs=1e-9)


def test_the_freedom_of_a_contrast_lies_between_that_of_its_least_known_cell_and_that_of_all():
    errors = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    result = contrast(np.array([3.0, 1.0]), errors, np.array([2.0, 4.0]), np.array([1.0, -1.0]))
    assert result.value == pytest.approx([2.0] * 3)
    assert result.error == pytest.approx([math.sqrt(2), 1.0, 0.0])
    assert result.freedom == pytest.approx([1 / (0.25 / 2 + 0.25 / 4), 2.0, 2.0])


#: How the processes of one cell differ: normal, skewed, with rare slow ones, with heavy tails; each has median 0.
EFFECTS = {
    "normal": lambda g, shape: g.normal(0, 0.05, shape),
    "skewed": lambda g, shape: 0.05 * (g.lognormal(0, 0.5, shape) - 1),
    "heavy": lambda g, shape: 0.03 * g.standard_t(4, shape),
}


@pytest.mark.parametrize("rounds", [3, 5, 10])
@pytest.mark.parametrize("effect", EFFECTS)
def test_the_interval_of_a_latency_holds_the_truth_in_95_of_100_cells(rounds, effect):
    generator = np.random.default_rng([rounds, len(effect)])
    processes = EFFECTS[effect](generator, (SIMULATIONS, rounds, 1))
    samples = 100 * np.exp(processes + generator.normal(0, 0.02, (SIMULATIONS, rounds, 9)))
    result = [summarize(cell) for cell in samples]
    covered = np.mean([summary.low <= 100 <= summary.high for summary in result])
    assert 0.93 <= covered <= 0.97
