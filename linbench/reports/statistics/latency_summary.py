"""What repeated timings say: a median, its spread, and a 95 % interval that names where it comes from.

The estimator is everywhere the median over the rounds (fresh processes) of each round's median. Its headline
interval is Student's, of the logarithms of the rounds' medians: what differs between processes, and what is left of
the noise within them, is in how far the rounds lie apart, and the t distribution knows how little a few rounds tell
of that. (A percentile bootstrap does not: no resample of three rounds is wider than they are, and that holds the
truth in three of four cases.) Iterations inside one process hide what differs between processes, so with fewer than
three rounds there is no headline interval: the within-process one is given in its place and says so in ``interval``.

What is made of several cells (a ratio, an exponent, a crossing) is a ``contrast``: a weighted sum of their
logarithms, with the freedom that Welch and Satterthwaite give it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from linbench.order_statistics import median_rank
from linbench.reports.statistics.student import MOST_FREEDOM, quantile, two_sided

Interval = Literal["rounds", "samples", "none"]
Floats = NDArray[np.float64]

FEWEST_ROUNDS = 3
FEWEST_FOR_P99 = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Summary:
    """Of one cell's timings, in ms; NaN where there are too few samples to say.

    interval: What ``low`` and ``high`` come from: "rounds" (headline), "samples" (within processes) or "none".
    n: Samples in all rounds; ``iqr``, ``p5``, ``p95`` and ``p99`` are of all of them together.
    log_mean, log_error, freedom: Of the natural logarithms of the rounds' medians: mean, its standard error and the
        degrees of freedom of that, for what is computed of several cells.
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
    log_mean: float
    log_error: float
    freedom: float


@dataclass(frozen=True)
class Contrast:
    """Weighted sums of logarithms, their standard errors and the degrees of freedom of those; arrays of one shape."""

    value: Floats
    error: Floats
    freedom: Floats

    def beyond(self, bound: float = 0.0) -> Floats:
        """The two-sided p of each value if the truth were ``bound``."""
        away = np.abs(self.value - bound)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(away == 0, 0.0, away / self.error)
        return two_sided(t, self.freedom)

    def interval(self) -> tuple[float, float]:
        """The 95 % interval of a single value."""
        half = quantile(math.floor(100 * self.freedom) / 100, LEVEL) * float(self.error)  # the fewer, the quicker
        return float(self.value) - half, float(self.value) + half


def summarise(rounds: Sequence[Sequence[float]]) -> Summary:
    """Summarise the raw timings of each round.

    rounds: Milliseconds, one non-empty sequence for each fresh process.
    """
    ordered = [np.sort(np.asarray(samples, dtype=np.float64)) for samples in rounds]
    pooled = np.concatenate(ordered)
    medians = np.array([np.median(samples) for samples in ordered])
    median = float(np.median(medians))
    logs = np.log(medians / median)
    mean, (low, high, interval) = float(logs.mean()), _of_samples(ordered)
    error, freedom = math.log(high / low) / 2 / quantile(MOST_FREEDOM), MOST_FREEDOM
    if len(ordered) >= FEWEST_ROUNDS:
        error, freedom = float(logs.std(ddof=1)) / math.sqrt(len(logs)), float(len(logs) - 1)
        half, interval = quantile(freedom, LEVEL) * error, "rounds"
        low, high = around(median, median * math.exp(mean - half), median * math.exp(mean + half))
    p5, q1, q3, p95, p99 = (float(q) for q in np.quantile(pooled, [0.05, 0.25, 0.75, 0.95, 0.99]))
    return Summary(
        median=median,
        low=low,
        high=high,
        interval=interval,
        iqr=q3 - q1,
        p5=p5,
        p95=p95,
        p99=p99 if len(pooled) >= FEWEST_FOR_P99 else math.nan,
        n=len(pooled),
        rounds=len(ordered),
        log_mean=math.log(median) + mean,
        log_error=error,
        freedom=freedom,
    )


def around(estimate: float, low: float, high: float) -> tuple[float, float]:
    """An interval about the mean of the logarithms, made to hold the estimate, which is a median; NaN stays."""
    if math.isnan(low):
        return low, high
    return min(low, estimate), max(high, estimate)


def contrast(mean: Floats, error: Floats, freedom: Floats, weights: Floats) -> Contrast:
    """The sum over the last axis of ``weights`` times ``mean``, of cells that were measured apart.

    Where no cell varies at all the freedom is the least of them.
    """
    parts = (weights * error) ** 2
    variance = parts.sum(axis=-1)
    known = variance > 0
    share = parts / np.where(known, variance, 1.0)[..., None]
    own = (share**2 / freedom).sum(axis=-1)
    least = np.broadcast_to(freedom, parts.shape).min(axis=-1)
    return Contrast(
        value=np.broadcast_to((weights * mean).sum(axis=-1), variance.shape),
        error=np.sqrt(variance),
        freedom=np.where(known, 1 / np.where(known, own, 1.0), least),
    )


def _of_samples(rounds: Sequence[Floats]) -> tuple[float, float, Interval]:
    """What the samples within each process say of its median, all processes together; exact order statistics."""
    ranks = [median_rank(len(samples)) for samples in rounds]
    if 0 in ranks:
        return math.nan, math.nan, "none"
    low = min(float(samples[rank - 1]) for samples, rank in zip(rounds, ranks, strict=True))
    high = max(float(samples[-rank]) for samples, rank in zip(rounds, ranks, strict=True))
    return low, high, "samples"
