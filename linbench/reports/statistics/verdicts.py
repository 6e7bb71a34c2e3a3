"""Whether two results differ, for all pairs of one comparison together.

Each pair is tested twice: whether it differs at all, and whether it differs by less than a stated margin (two
one-sided tests). Both kinds of p are corrected for the number of pairs by Holm's method, so that the probability of
any false verdict in one comparison is at most 5 %.

| verdict | when |
|---|---|
| TIE | the difference is shown to be within the margin |
| FASTER, SLOWER; BETTER, WORSE | a difference is shown, and it is not shown to be within the margin |
| AMBIGUOUS | neither is shown: more rounds or images would tell |

Times are compared by Welch's test on the logarithms of the rounds' medians; scores by a paired bootstrap over the
images that both have.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from linbench.metrics.intervals import resample_counts
from linbench.reports.statistics.latency_summary import (
    FEWEST_ROUNDS,
    Contrast,
    Floats,
    LatencySummary,
    contrast,
    including,
)

ALPHA = 0.05
FEWEST_IMAGES = 100  # in simulations, a bootstrap of 30 images reports twice the nominal rate of false differences
RESAMPLES = 9999
SEED = 7


class Verdict(StrEnum):
    """The second result relative to the first."""

    FASTER = "FASTER"
    SLOWER = "SLOWER"
    BETTER = "BETTER"
    WORSE = "WORSE"
    TIE = "TIE"
    AMBIGUOUS = "AMBIGUOUS"


TIMES = (Verdict.FASTER, Verdict.SLOWER)  # of a difference below zero, and above
SCORES = (Verdict.WORSE, Verdict.BETTER)


@dataclass(frozen=True)
class Difference:
    """The second result minus the first: of times the logarithm of their ratio, of scores points.

    low, high: The 95 % interval of this pair alone.
    p_same: Probability of a difference at least this large if there is none.
    p_apart: Probability of one at most this large if the true difference is the margin or more.
    """

    value: float
    low: float
    high: float
    p_same: float
    p_apart: float


@dataclass(frozen=True)
class Judgement:
    """The verdict on a pair, None where it could not be tested, and its p corrected for the number of pairs."""

    verdict: Verdict | None
    p_same: float
    p_apart: float


def time_difference(first: LatencySummary, second: LatencySummary, margin: float) -> Difference | None:
    """Return the difference of two latencies; None where one has too few rounds to know the spread of processes.

    margin: Latencies within this fraction count as a tie, such as 0.02.
    """
    if min(first.rounds, second.rounds) < FEWEST_ROUNDS:
        return None
    mean, error, freedom = (
        np.array([getattr(summary, name) for summary in (first, second)])
        for name in ("log_mean", "log_error", "freedom")
    )
    log_ratio = contrast(mean, error, freedom, np.array([-1.0, 1.0]))
    value = math.log(second.median / first.median)
    low, high = including(value, *log_ratio.interval())
    return Difference(value, low, high, float(log_ratio.p_value()), _p_apart(log_ratio, math.log1p(margin)))


def _p_apart(log_ratio: Contrast, margin: float) -> float:
    if abs(float(log_ratio.value)) >= margin:
        return 1.0
    return max(float(log_ratio.p_value(bound)) / 2 for bound in (-margin, margin))


def score_differences(pairs: Sequence[tuple[Floats, Floats]], margin: float) -> list[Difference]:
    """Return the difference of each pair of means, in the unit of the scores.

    pairs: The first and the second score of each image, in one order.
    margin: Differences within it count as a tie, in that unit.
    """
    result: dict[int, Difference] = {}
    differences = [second - first for first, second in pairs]
    for images in {len(scores) for scores in differences}:
        indices = [i for i, scores in enumerate(differences) if len(scores) == images]
        values = np.stack([differences[i] for i in indices], axis=1)
        means = np.stack([counts @ values for counts in resample_counts(images, RESAMPLES, SEED)]) / images
        for i, mean, ordered in zip(indices, values.mean(axis=0), np.sort(means, axis=0).T, strict=True):
            low, high = np.quantile(ordered, (0.025, 0.975))
            p_same = 2 * min(_fraction(ordered <= 0), _fraction(ordered >= 0))
            p_apart = max(_fraction(ordered <= -margin), _fraction(ordered >= margin))
            result[i] = Difference(float(mean), float(low), float(high), min(1.0, p_same), p_apart)
    return [result[i] for i in range(len(pairs))]


def _fraction(flags: NDArray[np.bool_]) -> float:
    """Return the fraction of resamples, with one added so that no p is zero."""
    return (int(flags.sum()) + 1) / (len(flags) + 1)


def judge(differences: Sequence[Difference | None], signs: tuple[Verdict, Verdict]) -> list[Judgement]:
    """Return the verdict on each pair, corrected for all tested pairs; an untested pair does not count.

    signs: ``TIMES`` or ``SCORES``.
    """
    tested = [difference for difference in differences if difference is not None]
    same, apart = holm([d.p_same for d in tested]), holm([d.p_apart for d in tested])
    judgements = iter(
        Judgement(_verdict(difference, p_same, p_apart, signs), p_same, p_apart)
        for difference, p_same, p_apart in zip(tested, same, apart, strict=True)
    )
    untested = Judgement(None, math.nan, math.nan)
    return [untested if difference is None else next(judgements) for difference in differences]


def _verdict(difference: Difference, p_same: float, p_apart: float, signs: tuple[Verdict, Verdict]) -> Verdict:
    if p_apart < ALPHA:
        return Verdict.TIE
    return signs[difference.value > 0] if p_same < ALPHA else Verdict.AMBIGUOUS


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p corrected by Holm's step-down method: each times the number of hypotheses not yet rejected."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, largest = [0.0] * len(p_values), 0.0
    for rejected, i in enumerate(order):
        largest = max(largest, min(1.0, p_values[i] * (len(p_values) - rejected)))
        corrected[i] = largest
    return corrected


def ranks(order: Sequence[str], differ: Callable[[str, str], bool]) -> Mapping[str, int]:
    """Return ranks with ties: a name not shown to differ from the best of a group shares its rank.

    order: Names, best first.
    """
    result: dict[str, int] = {}
    leader = ""
    for position, name in enumerate(order, start=1):
        if not result or differ(leader, name):
            leader, result[name] = name, position
        else:
            result[name] = result[leader]
    return result
