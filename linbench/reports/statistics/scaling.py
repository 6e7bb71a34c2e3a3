"""How latency grows with the number of tokens: the exponent p of latency ∝ tokens^p.

Least squares on the logarithms of all measured sizes. The slope is a weighted sum of the cells, and its interval is
that of a ``contrast``: it covers the noise of the measurements, not the deviation from a power law. That is
``misfit``; the exponent of the last doubling of the side shows the trend at large sizes.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from linbench.reports.latency.rows import PIXELS_PER_TOKEN
from linbench.reports.statistics.latency_summary import Contrast, Floats, Interval, contrast, including

#: The columns of ``latency.rows.rows`` that a curve, an exponent and a crossover need.
CURVES = (
    *("label", "backbone", "status", "pixels", "tokens", "median_ms"),
    *("log_mean", "log_error", "freedom", "interval"),
)


@dataclass(frozen=True)
class Curve:
    """Measured latencies of one model, by size.

    x: Natural logarithm of the tokens, ascending.
    y: Natural logarithm of the estimated milliseconds, for each x.
    cells: Estimate, error and freedom of each of those logarithms.
    """

    x: Floats
    y: Floats
    cells: Contrast
    interval: Interval


@dataclass(frozen=True)
class Exponent:
    """The fitted p and its 95 % interval (NaN where there is none).

    last_doubling: The exponent between the largest side and half of it; NaN where that was not measured.
    misfit: The largest deviation of a measured latency from the fitted one, as a fraction of the fitted.
    sizes: The number of fitted sizes.
    """

    value: float
    low: float
    high: float
    interval: Interval
    last_doubling: float
    misfit: float
    sizes: int


def curve(rows: pd.DataFrame, axis: pd.Series) -> Curve | None:
    """Return the curve of one model's ok cells over ``axis`` (tokens); equal tokens are averaged. None if empty."""
    is_ok = (rows["status"] == "ok").to_numpy()  # columns are quick to cut, frames are not
    if not is_ok.any():
        return None
    x, positions = np.unique(np.log(axis.to_numpy(dtype=np.float64)[is_ok]), return_inverse=True)
    average = (positions == np.arange(len(x))[:, None]) / np.bincount(positions)[:, None]
    median, mean, error, freedom = (
        rows[name].to_numpy(dtype=np.float64)[is_ok] for name in ("median_ms", "log_mean", "log_error", "freedom")
    )
    cells = contrast(mean, error, freedom, average)
    return Curve(x, average @ np.log(median), cells, weakest(rows["interval"].to_numpy()[is_ok].tolist()))


def weakest(intervals: list[Interval]) -> Interval:
    """Return the source of an interval made of several: the weakest of them."""
    order: tuple[Interval, ...] = ("none", "samples")
    return next((kind for kind in order if kind in intervals), "rounds")


def area_tokens(rows: pd.DataFrame) -> pd.Series:
    """Return the number of patches of 16 × 16 px, the axis that all models share."""
    return rows["pixels"] / PIXELS_PER_TOKEN


def exponent(rows: pd.DataFrame) -> Exponent | None:
    """Return the exponent of one model's rows; None with fewer than two measured sizes.

    Tokens are the model's own where every row has them, else its area in patches.
    """
    measured = curve(rows, rows["tokens"] if (rows["tokens"] > 0).all() else area_tokens(rows))
    if measured is None or len(measured.x) < 2:
        return None
    centred = measured.x - measured.x.mean()
    weights = centred / (centred**2).sum()
    slope = float(measured.y @ weights)
    residual = measured.y - measured.y.mean() - slope * centred
    low = high = math.nan
    if measured.interval != "none":
        cells = measured.cells
        low, high = including(slope, *contrast(cells.value, cells.error, cells.freedom, weights).interval())
    return Exponent(
        value=slope,
        low=low,
        high=high,
        interval=measured.interval,
        last_doubling=_last_doubling(measured),
        misfit=float(np.abs(np.expm1(residual)).max()),
        sizes=len(measured.x),
    )


def _last_doubling(measured: Curve) -> float:
    """Return the exponent over the last factor 4 of tokens (twice the side), interpolated in logarithms."""
    step = math.log(4)
    start = measured.x[-1] - step
    if start < measured.x[0] - 0.01:  # a class token makes four times the patches a little less than that
        return math.nan
    return float((measured.y[-1] - np.interp(start, measured.x, measured.y)) / step)
