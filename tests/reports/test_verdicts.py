"""Verdicts on simulated results whose truth is known."""

import math

import numpy as np
import pytest

from linbench.reports.statistics.latency_summary import summarize
from linbench.reports.statistics.verdicts import (
    SCORES,
    TIMES,
    Verdict,
    holm,
    judge,
    ranks,
    score_differences,
    time_difference,
)

MARGIN = 0.02


def latency(ms, rounds, noise, generator):
    """The summary of rounds that differ by a relative noise."""
    return summarize([[ms * math.exp(e)] for e in generator.normal(0, noise, rounds)])


def verdicts(ratio, rounds, noise, pairs, generator):
    """Of pairs of times of which the second takes ``ratio`` times as long."""
    results = [
        time_difference(
            latency(100, rounds, noise, generator), latency(100 * ratio, rounds, noise, generator), MARGIN
        )
        for _ in range(pairs)
    ]
    return [judgement.verdict for judgement in judge(results, TIMES)]


def test_holms_steps_are_those_done_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(("rounds", "pairs"), [(3, 1), (3, 20), (5, 20)])
def test_where_nothing_differs_a_comparison_has_a_false_verdict_in_less_than_5_of_100(rounds, pairs):
    generator = np.random.default_rng([rounds, pairs])
    runs = 1000 if pairs == 1 else 150
    false = sum(
        bool({Verdict.FASTER, Verdict.SLOWER} & set(verdicts(1.0, rounds, 0.03, pairs, generator)))
        for _ in range(runs)
    )
    assert false / runs <= 0.05


def test_the_interval_of_a_ratio_holds_the_truth_in_95_of_100_pairs():
    generator = np.random.default_rng(1)
    for rounds, noises in ((3, (0.03, 0.03)), (3, (0.05, 0.01)), (10, (0.05, 0.01))):
        results = [
            time_difference(
                latency(100, rounds, noises[0], generator), latency(120, rounds, noises[1], generator), MARGIN
            )
            for _ in range(1000)
        ]
        covered = np.mean(
            [difference is not None and difference.low <= math.log(1.2) <= difference.high for difference in results]
        )
        assert 0.93 <= covered <= 0.98, (rounds, noises)  # Welch's freedom is a little cautious with three rounds


def test_a_clear_difference_is_found_with_its_sign_and_a_small_one_is_a_tie_where_rounds_suffice():
    generator = np.random.default_rng(2)
    assert set(verdicts(1.2, 5, 0.01, 20, generator)) == {Verdict.SLOWER}
    assert set(verdicts(0.8, 5, 0.01, 20, generator)) == {Verdict.FASTER}
    assert set(verdicts(1.0, 10, 0.002, 20, generator)) == {Verdict.TIE}
    assert set(verdicts(1.002, 40, 0.002, 5, generator)) == {Verdict.TIE}  # it differs, by less than the margin
    assert Verdict.AMBIGUOUS in verdicts(1.0, 3, 0.05, 20, generator)


def test_a_difference_of_the_margin_is_called_a_tie_in_less_than_5_of_100():
    generator = np.random.default_rng(3)
    judgement = [verdicts(1.02, 5, 0.01, 1, generator)[0] for _ in range(500)]
    assert judgement.count(Verdict.TIE) / 500 <= 0.05


def test_too_few_rounds_give_no_verdict_and_do_not_count_among_the_pairs():
    generator = np.random.default_rng(4)
    one, three = latency(100, 1, 0.01, generator), latency(100, 3, 0.01, generator)
    assert time_difference(one, three, MARGIN) is None
    sure = time_difference(latency(100, 9, 0.01, generator), latency(130, 9, 0.01, generator), MARGIN)
    results = judge([None, sure], TIMES)
    assert (results[0].verdict, results[1].verdict) == (None, Verdict.SLOWER)
    assert sure is not None and results[1].p_same == sure.p_same


def images(mean, generator, n=200, own=3.0):
    """Pairs of scores: each image is easy or hard for both."""
    shared = generator.normal(0, 10, n)
    first = 80 + shared + generator.normal(0, own, n)
    return first, 80 + mean + shared + generator.normal(0, own, n)


def test_the_interval_of_a_difference_of_scores_holds_the_truth_in_95_of_100_pairs():
    generator = np.random.default_rng(5)
    results = score_differences([images(1.0, generator) for _ in range(1000)], 0.5)
    assert 0.93 <= np.mean([difference.low <= 1.0 <= difference.high for difference in results]) <= 0.97


def test_where_no_score_differs_a_comparison_has_a_false_verdict_in_less_than_5_of_100():
    generator = np.random.default_rng(6)
    results = score_differences([images(0.0, generator) for _ in range(2000)], 0.5)
    false = [
        {Verdict.BETTER, Verdict.WORSE} & {judgement.verdict for judgement in judge(results[i : i + 10], SCORES)}
        for i in range(0, 2000, 10)
    ]
    assert sum(map(bool, false)) / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)  # 0.051 over 2,800 comparisons


def test_pairing_finds_what_the_intervals_of_both_would_hide():
    (results,) = score_differences([images(1.5, np.random.default_rng(7))], 0.5)
    assert results.high - results.low < 1.6  # the intervals of the two means are 2.8 wide each
    assert judge([results], SCORES)[0].verdict is Verdict.BETTER


def test_equal_scores_are_a_tie():
    scores = np.linspace(0, 100, 150)
    (results,) = score_differences([(scores, scores)], 0.5)
    assert (results.value, results.low, results.high) == (0.0, 0.0, 0.0)
    assert judge([results], SCORES)[0].verdict is Verdict.TIE


def test_who_is_not_shown_to_differ_from_the_first_of_a_group_shares_its_place():
    apart = {frozenset("ac"), frozenset("ad"), frozenset("cd")}
    results = ranks("abcd", lambda one, other: frozenset((one, other)) in apart)
    assert results == {"a": 1, "b": 1, "c": 3, "d": 4}
