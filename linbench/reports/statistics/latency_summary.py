"""Summaries of repeated timings: a median, its spread, and a 95 % interval that names its source.

The estimator is the median over the rounds (fresh processes) of each round's median. Its headline interval is
Student's t interval of the logarithms of the rounds' medians: their scatter holds both the differences between
processes and the remaining noise within them, and t accounts for how little a few rounds reveal. (A percentile
bootstrap does not: no resample of three rounds is wider than they are, and its interval holds the truth in three of
four cases.) Samples of one process cannot show differences between processes, so with fewer than three rounds the
interval comes from the samples within each process, and ``interval`` says so.

Quantities made of several cells (a ratio, an exponent, a crossover) are a ``contrast``: a weighted sum of the cells'
logarithms, with the degrees of freedom of Welch and Satterthwaite.

Student's distribution: P(|T| ≤ t) is ``c ∫ cos(θ)^(ν-1) dθ`` from 0 to ``atan(t / √ν)``, with
``c = 2 Γ((ν+1)/2) / (√π Γ(ν/2))`` (the density with ``T = √ν tan θ``), by Gauss–Legendre quadrature.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from linbench.metrics.intervals import median_rank

Interval = Literal["rounds", "samples", "none"]
Floats = NDArray[np.float64]

FEWEST_ROUNDS = 3
FEWEST_FOR_P99 = 1000
LEVEL = 0.95

MOST_FREEDOM = 1e6  # beyond, t is the normal distribution to six digits
MANY, FAR = 50, 12.0  # with over MANY degrees of freedom, |T| exceeds FAR with a probability below 10⁻¹⁵
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)


@dataclass(frozen=True)
class LatencySummary:
    """The summary of one cell's timings, in ms; NaN where there are too few samples.

    interval: The source of ``low`` and ``high``: "rounds" (headline), "samples" (within processes) or "none".
    n: Samples in all rounds; ``iqr``, ``p5``, ``p95`` and ``p99`` are of all of them pooled.
    log_mean, log_error, freedom: Mean, standard error and degrees of freedom of the natural logarithms of the rounds'
        medians, for quantities made of several cells.
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
    """Weighted sums of logarithms, their standard errors and degrees of freedom; arrays of one shape."""

    value: Floats
    error: Floats
    freedom: Floats

    def p_value(self, truth: float = 0.0) -> Floats:
        """Return the two-sided p of each value under the hypothesis that it is ``truth``."""
        distance = np.abs(self.value - truth)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(distance == 0, 0.0, distance / self.error)
        return two_sided_p(t, self.freedom)

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of a single value."""
        freedom = math.floor(100 * self.freedom) / 100  # coarse, so that the cache of quantiles hits
        half = t_quantile(freedom, LEVEL) * float(self.error)
        return float(self.value) - half, float(self.value) + half


def summarize(rounds: Sequence[Sequence[float]]) -> LatencySummary:
    """Summarize raw timings: milliseconds, one non-empty sequence for each fresh process."""
    ordered = [np.sort(np.asarray(samples, dtype=np.float64)) for samples in rounds]
    pooled = np.concatenate(ordered)
    medians = np.array([np.median(samples) for samples in ordered])
    median = float(np.median(medians))
    logs = np.log(medians / median)
    mean, (low, high, interval) = float(logs.mean()), _interval_of_samples(ordered)
    error, freedom = math.log(high / low) / 2 / t_quantile(MOST_FREEDOM), MOST_FREEDOM
    if len(ordered) >= FEWEST_ROUNDS:
        error, freedom = float(logs.std(ddof=1)) / math.sqrt(len(logs)), float(len(logs) - 1)
        half, interval = t_quantile(freedom, LEVEL) * error, "rounds"
        low, high = including(median, median * math.exp(mean - half), median * math.exp(mean + half))
    p5, q1, q3, p95, p99 = (float(q) for q in np.quantile(pooled, [0.05, 0.25, 0.75, 0.95, 0.99]))
    return LatencySummary(
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


def including(estimate: float, low: float, high: float) -> tuple[float, float]:
    """Return an interval about the mean of logarithms, widened to hold the estimate, a median; NaN stays."""
    if math.isnan(low):
        return low, high
    return min(low, estimate), max(high, estimate)


def contrast(mean: Floats, error: Floats, freedom: Floats, weights: Floats) -> Contrast:
    """Return the sum over the last axis of ``weights`` times ``mean``, for independently measured cells.

    Where every error is zero the freedom is the least of the cells'.
    """
    variances = (weights * error) ** 2
    variance = variances.sum(axis=-1)
    varies = variance > 0
    fraction = variances / np.where(varies, variance, 1.0)[..., None]
    inverse = (fraction**2 / freedom).sum(axis=-1)
    least = np.broadcast_to(freedom, variances.shape).min(axis=-1)
    return Contrast(
        value=np.broadcast_to((weights * mean).sum(axis=-1), variance.shape),
        error=np.sqrt(variance),
        freedom=np.where(varies, 1 / np.where(varies, inverse, 1.0), least),
    )


def _interval_of_samples(rounds: Sequence[Floats]) -> tuple[float, float, Interval]:
    """Return the union of the processes' exact order-statistic intervals of their medians."""
    ranks = [median_rank(len(samples)) for samples in rounds]
    if 0 in ranks:
        return math.nan, math.nan, "none"
    low = min(float(samples[rank - 1]) for samples, rank in zip(rounds, ranks, strict=True))
    high = max(float(samples[-rank]) for samples, rank in zip(rounds, ranks, strict=True))
    return low, high, "samples"


def two_sided_p(t: ArrayLike, freedom: ArrayLike) -> Floats:
    """Return P(|T| > |t|) for degrees of freedom of 1 or more, which need not be whole."""
    size, degrees = np.broadcast_arrays(np.abs(np.asarray(t, np.float64)), np.asarray(freedom, np.float64))
    degrees = np.minimum(degrees, MOST_FREEDOM)
    size = np.where(degrees > MANY, np.minimum(size, FAR), size)  # else the nodes would miss a narrow peak
    half = np.arctan(size / np.sqrt(degrees)) / 2
    angles = half[..., None] * (1 + _NODES)
    within = half * (np.cos(angles) ** (degrees[..., None] - 1) @ _WEIGHTS)
    return np.clip(1 - _t_constant(degrees) * within, 0.0, 1.0)


@lru_cache(maxsize=4096)
def t_quantile(freedom: float, level: float = 0.95) -> float:
    """Return the t with P(|T| ≤ t) = ``level``.

    P is concave in t, so Newton's steps from 0 approach from below and never overshoot.
    """
    degrees = min(freedom, MOST_FREEDOM)
    slope = float(_t_constant(np.array(degrees))) / math.sqrt(degrees)
    t = 0.0
    while True:
        missing = level - 1 + float(two_sided_p(t, degrees))
        step = missing / (slope * (1 + t * t / degrees) ** (-(degrees + 1) / 2))
        t += step
        if step <= 1e-9 * t:
            return t


def _t_constant(degrees: Floats) -> Floats:
    logs = [math.lgamma((v + 1) / 2) - math.lgamma(v / 2) for v in degrees.ravel().tolist()]
    return 2 / math.sqrt(math.pi) * np.exp(np.reshape(logs, degrees.shape))
