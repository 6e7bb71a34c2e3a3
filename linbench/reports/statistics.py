"""What repeated timings say: a median, its spread, and a 95 % interval that names where it comes from.

The estimator is everywhere the median over the rounds (fresh processes) of each round's median. Its headline
interval is a hierarchical bootstrap: resample the rounds, then the samples within each; 2000 times, fixed seed.
With few rounds it is optimistic, see ``coverage_of_range``. Iterations inside one process hide what differs between
processes, so with fewer than three rounds there is no headline interval: the within-process one is given in its
place and says so in ``interval``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from linbench.order_statistics import median_rank

Interval = Literal["rounds", "samples", "none"]
Draws = NDArray[np.float64]

SEED = 20240627
RESAMPLES = 2000
FEWEST_ROUNDS = 3
FEWEST_FOR_P99 = 1000
TAIL = 0.025  # of each side of a 95 % interval


@dataclass(frozen=True)
class Summary:
    """Of one cell's timings, in ms; NaN where there are too few samples to say.

    interval: What ``low`` and ``high`` come from: "rounds" (headline), "samples" (within processes) or "none".
    n: Samples in all rounds; ``iqr``, ``p5``, ``p95`` and ``p99`` are of all of them together.
    draws: The median of each bootstrap resample, for what is computed from several cells.
    """

    median: float
    low: float
    high: float
    interval: Interval
    iqr: float
    p5: float
    p95: float
    p99: float
    n: int
    rounds: int
    draws: Draws


def summarise(rounds: Sequence[Sequence[float]], salt: int = 0) -> Summary:
    """Summarise the raw timings of each round.

    rounds: Milliseconds, one non-empty sequence for each fresh process.
    salt: Separates the random numbers of two cells; the seed is (SEED, salt).
    """
    ordered = [np.sort(np.asarray(samples, dtype=np.float64)) for samples in rounds]
    pooled = np.concatenate(ordered)
    draws = resampled(ordered, np.random.default_rng([SEED, salt]))
    low, high, interval = _interval(ordered, draws)
    p5, q1, q3, p95, p99 = (float(q) for q in np.quantile(pooled, [0.05, 0.25, 0.75, 0.95, 0.99]))
    return Summary(
        median=float(np.median([np.median(samples) for samples in ordered])),
        low=low,
        high=high,
        interval=interval,
        iqr=q3 - q1,
        p5=p5,
        p95=p95,
        p99=p99 if len(pooled) >= FEWEST_FOR_P99 else math.nan,
        n=len(pooled),
        rounds=len(ordered),
        draws=draws,
    )


def percentile_interval(draws: Draws) -> tuple[float, float]:
    """The 95 % percentile interval of bootstrap draws, which may be infinite."""
    low, high = np.quantile(draws, [TAIL, 1 - TAIL], method="inverted_cdf")
    return float(low), float(high)


def coverage_of_range(rounds: int) -> float:
    """How often the lowest to the highest of the rounds' medians hold the median of all processes.

    Where processes differ more than samples, no bootstrap of the rounds is wider than that: 0.75 for 3 rounds, 0.94
    for 5, and only from 6 on 0.95 or more.
    """
    return 1 - 2.0 ** (1 - rounds)


def resampled(rounds: Sequence[Draws], generator: np.random.Generator) -> Draws:
    """The estimate from each of RESAMPLES resamples of the rounds (given three or more) and of their samples.

    rounds: Ascending samples of each round.
    """
    count = len(rounds)
    chosen = np.tile(np.arange(count), (RESAMPLES, 1))
    if count >= FEWEST_ROUNDS:
        chosen = generator.integers(count, size=(RESAMPLES, count))
    medians = np.empty(chosen.shape)
    for index, samples in enumerate(rounds):
        medians[chosen == index] = _resampled_medians(samples, int((chosen == index).sum()), generator)
    return np.median(medians, axis=1)


def _resampled_medians(ordered: Draws, count: int, generator: np.random.Generator) -> Draws:
    """Medians of ``count`` resamples, without drawing them: the middle of n uniform ranks is Beta distributed."""
    n = len(ordered)
    lower = (n + 1) // 2
    rank = generator.beta(lower, n + 1 - lower, size=count)
    middle = ordered[np.minimum((n * rank).astype(np.int64), n - 1)]
    if n % 2:
        return middle
    next_rank = rank + (1 - rank) * generator.beta(1, n - lower, size=count)
    return (middle + ordered[np.minimum((n * next_rank).astype(np.int64), n - 1)]) / 2


def _interval(rounds: Sequence[Draws], draws: Draws) -> tuple[float, float, Interval]:
    if len(rounds) >= FEWEST_ROUNDS:
        return *percentile_interval(draws), "rounds"
    ranks = [median_rank(len(samples)) for samples in rounds]
    if 0 in ranks:
        return math.nan, math.nan, "none"
    low = min(float(samples[rank - 1]) for samples, rank in zip(rounds, ranks, strict=True))
    high = max(float(samples[-rank]) for samples, rank in zip(rounds, ranks, strict=True))
    return low, high, "samples"
