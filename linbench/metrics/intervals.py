"""95 % intervals of a metric over a sample of images (percentile bootstrap), and of a median (order statistics).

The bootstrap resamples the images with replacement, as many as there are, and takes the metric of each resample; the
middle 95 % of the values is the interval. The same seed, images and order give the same interval in every process;
sort images by id.
"""

import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 1000


def resample_counts(images: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield for each resample how often it holds each image."""
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(rng.integers(images, size=images), minlength=images)


def bootstrap(
    metric: Callable[[NDArray[np.int64]], float], images: int, seed: int, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Return the 95 % interval of ``metric``, a function of how often each image counts."""
    if images < 1:
        return math.nan, math.nan
    return percentile_interval(np.array([metric(counts) for counts in resample_counts(images, resamples, seed)]))


def bootstrap_mean(scores: ArrayLike, seed: int, resamples: int = RESAMPLES) -> tuple[float, float]:
    """Return the 95 % interval of the mean of one score for each image; both ends are NaN if a score is NaN."""
    values = np.asarray(scores, dtype=np.float64)
    return bootstrap(lambda counts: float((counts * values).sum() / values.size), values.size, seed, resamples)


def basic_interval(estimate: float, values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of a fraction with biased resamples: their percentiles, mirrored at the estimate.

    COCO's AP grows when images repeat, as it does when there are few. In a simulation of datasets of 1,500 images the
    mirrored interval held the AP of the population in 38 of 40 datasets, the percentiles themselves in 22; of 150
    images, whose AP is itself too high by two standard deviations, in 48 of 60 and in 2.
    """
    low, high = percentile_interval(values)
    return max(0.0, 2 * estimate - high), min(1.0, 2 * estimate - low)


def percentile_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the middle 95 % of the values that are not NaN; a resample without any object gives NaN."""
    finite = values[~np.isnan(values)]
    if not finite.size:
        return math.nan, math.nan
    low, high = np.percentile(finite, (2.5, 97.5))
    return float(low), float(high)


@lru_cache(maxsize=1024)
def median_rank(n: int) -> int:
    """Return k such that the k-th smallest and the k-th largest of n samples enclose the median with ≥ 95 %.

    Exact for any distribution: the probability to miss is 2 P(Bin(n, ½) < k). 0 where even the extremes do not
    suffice (n below 6). The suites stop sampling by it, and the report derives the interval from it.
    """
    limit = 2**n // 40  # 2.5 % of all outcomes
    term = below = 1
    rank = 0
    while below <= limit:
        rank += 1
        term = term * (n - rank + 1) // rank
        below += term
    return rank
