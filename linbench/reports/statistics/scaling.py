"""How latency grows with the number of tokens: the exponent p of latency ∝ tokens^p.

Least squares on the logarithms of all sizes that were measured. The slope is a weighted sum of the cells, and its
interval that of a ``contrast``: it holds the noise of the measurements, not how far the law itself is from the truth.
That is ``misfit``, and the exponent of the last doubling of the side shows where the law is heading.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from linbench.reports.latency.rows import PIXELS_PER_TOKEN
from linbench.reports.statistics.latency_summary import Contrast, Floats, Interval, around, contrast

#: The columns of ``rows.rows`` that a curve, an exponent and a crossover are made of.
CURVES = (
    *("label", "backbone", "status", "pixels", "tokens", "median_ms"),
    *("log_mean", "log_error", "freedom", "interval"),
)


@dataclass(frozen=True)
class Curve:
    """Measured latencies of one model, by size.

    x: Natural logarithm of the tokens, ascending.
    y: Natural logarithm of the estimated milliseconds, for each x.
    cells: What is known of each of those logarithms.
    """

    x: Floats
    y: Floats
    cells: Contrast
    interval: Interval


@dataclass(frozen=True)
class Exponent:
    """The fitted p and its 95 % interval (NaN where there is none).

    last_doubling: The exponent between the largest side and half of it; NaN where that was not measured.
    misfit: The largest deviation of a measured latency from the fitted one, as a share of the fitted.
    sizes: How many sizes were fitted.
    """

    value: float
    low: float
    high: float
    interval: Interval
    last_doubling: float
    misfit: float
    sizes: int


def curve(rows: pd.DataFrame, axis: pd.Series) -> Curve | None:
    """The curve of one model's ok cells over ``axis`` (tokens); sizes of equal tokens are averaged. None if empty."""
    ok = rows["status"] == "ok"
    good = rows[ok]
    if good.empty:
        return None
    x, where = np.unique(np.log(axis[ok].to_numpy(dtype=np.float64)), return_inverse=True)
    same = (where == np.arange(len(x))[:, None]) / np.bincount(where)[:, None]
    median, mean, error, freedom = (
        good[name].to_numpy(dtype=np.float64) for name in ("median_ms", "log_mean", "log_error", "freedom")
    )
    cells = contrast(mean, error, freedom, same)
    return Curve(x, same @ np.log(median), cells, weakest(good["interval"].tolist()))


def weakest(intervals: list[Interval]) -> Interval:
    """What an interval made of several can claim to be: the least of them."""
    order: tuple[Interval, ...] = ("none", "samples")
    return next((kind for kind in order if kind in intervals), "rounds")


def area_tokens(rows: pd.DataFrame) -> pd.Series:
    """Patches of 16 × 16 px: the axis that all models share."""
    return rows["pixels"] / PIXELS_PER_TOKEN


def exponent(rows: pd.DataFrame) -> Exponent | None:
    """The exponent of one model's rows; None with fewer than two sizes measured.

    Tokens are the model's own where every row has them, else its area in patches.
    """
    found = curve(rows, rows["tokens"] if (rows["tokens"] > 0).all() else area_tokens(rows))
    if found is None or len(found.x) < 2:
        return None
    centred = found.x - found.x.mean()
    weights = centred / (centred**2).sum()
    slope = float(found.y @ weights)
    residual = found.y - found.y.mean() - slope * centred
    low = high = math.nan
    if found.interval != "none":
        cells = found.cells
        low, high = around(slope, *contrast(cells.value, cells.error, cells.freedom, weights).interval())
    return Exponent(
        value=slope,
        low=low,
        high=high,
        interval=found.interval,
        last_doubling=_last_doubling(found),
        misfit=float(np.abs(np.expm1(residual)).max()),
        sizes=len(found.x),
    )


def _last_doubling(found: Curve) -> float:
    """Twice the side is four times the tokens; between two sizes the curve is a straight line of logarithms."""
    step = math.log(4)
    start = found.x[-1] - step
    if start < found.x[0] - 0.01:  # a class token makes four times the patches a little less than that
        return math.nan
    return float((found.y[-1] - np.interp(start, found.x, found.y)) / step)
