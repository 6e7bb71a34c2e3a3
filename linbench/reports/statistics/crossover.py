"""From which resolution on a backbone is faster than ViT: where their latency curves cross.

Curves are straight between measured sizes, in logarithms of latency and of area. A resolution is the side, in px,
of the square of equal area. Nothing is extrapolated: without a crossing in the range where both were measured, the
answer is below or above that range.

The interval holds each resolution at which a test at 5 % cannot tell which of the two is faster. It is open where
it reaches the end of the range.
"""

import math
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from linbench.reports.statistics.latency_summary import LEVEL, Floats, Interval, contrast
from linbench.reports.statistics.scaling import Curve, area_tokens, curve, weakest

PATCH = 16  # px
STEPS = 256  # grid over the range in which the ends of an interval are searched


@dataclass(frozen=True)
class Crossover:
    """The last crossing of a backbone's curve with that of ``reference``.

    px: The crossing; -inf where the backbone is faster in all of ``first`` … ``last``, inf where it is never.
    low, high: The 95 % interval, infinite likewise; NaN where there is none.
    becomes: "faster" or "slower": the backbone above the crossing.
    count: Crossings in the range.
    """

    reference: str
    px: float
    low: float
    high: float
    interval: Interval
    first: float
    last: float
    becomes: str
    count: int

    def __str__(self) -> str:
        if math.isnan(self.low) or self.low == self.high == self.px:
            return self._format(self.px)
        if math.isinf(self.px):  # the interval is open on that side too
            end = self.high if self.px < 0 else self.low
            other = f"or {self._format(end)}" if math.isinf(end) else f"{'to' if self.px < 0 else 'from'} {end:.0f}"
            return f"{self._format(self.px)} ({other})"
        return f"{self._format(self.px)} ({self.between()})"

    def between(self) -> str:
        """Format the interval, in px: "1090–1170", or "below 512–1170"."""
        return f"{self._format(self.low, bare=True)}–{self._format(self.high, bare=True)}"

    def _format(self, px: float, bare: bool = False) -> str:
        if px == -math.inf:
            return f"below {self.first:.0f}"
        if px == math.inf:
            return f"above {self.last:.0f}"
        return f"{px:.0f}" if bare or self.becomes == "faster" else f"slower from {px:.0f}"


def reference_of(label: str, rows: pd.DataFrame, reference: str | None = None) -> str | None:
    """Return the label of the model that ``label`` is compared with, or None.

    reference: A backbone's name; by default the ``vit-*`` of the same size letter, else the first ``vit-*``.
    """
    backbones = dict(zip(rows["label"], rows["backbone"], strict=True))
    references = [
        other for other, name in backbones.items() if name == reference or (not reference and name.startswith("vit-"))
    ]
    if label in references:
        return None
    same_size = [other for other in references if _size_letter(backbones[other]) == _size_letter(backbones[label])]
    return next(iter([*same_size, *references]), None)


def crossover(rows: pd.DataFrame, label: str, reference: str | None = None) -> Crossover | None:
    """Return the last crossing of ``label`` with its reference; None where they share no measured range.

    rows: Those of one comparison.
    reference: See ``reference_of``.
    """
    other = reference_of(label, rows, reference)
    return None if other is None else crossing_of(other, area_curve(rows, label), area_curve(rows, other))


def crossing_of(other: str, ours: Curve | None, theirs: Curve | None) -> Crossover | None:
    """Return the last crossing of two curves; None where they share no measured range.

    other: The label of the second one, the reference.
    """
    if ours is None or theirs is None:
        return None
    first, last = max(ours.x[0], theirs.x[0]), min(ours.x[-1], theirs.x[-1])
    if first > last:
        return None
    x = np.union1d(ours.x, theirs.x)
    x = x[(first <= x) & (x <= last)]
    root, becomes, count = _last_root(x, np.interp(x, ours.x, ours.y) - np.interp(x, theirs.x, theirs.y))
    interval = weakest([ours.interval, theirs.interval])
    low, high = _undecided(ours, theirs, x, root) if interval != "none" else (math.nan, math.nan)
    px = [PATCH * math.exp(end / 2) if math.isfinite(end) else end for end in (root, low, high, first, last)]
    return Crossover(other, px[0], px[1], px[2], interval, px[3], px[4], becomes, count)


def area_curve(rows: pd.DataFrame, label: str) -> Curve | None:
    """Return the curve of one model over the axis that all models share; None without an ok cell."""
    model = rows.take(np.flatnonzero(rows["label"].to_numpy(dtype=object) == label))
    return curve(model, area_tokens(model))


def _last_root(x: Floats, slower_by: Floats) -> tuple[float, str, int]:
    """Return the last sign change of a difference, what the first curve becomes there, and the number of changes.

    Without a change the root is -inf or inf.
    """
    slower = slower_by > 0
    changes = np.flatnonzero(slower[:-1] != slower[1:])
    if not len(changes):
        return math.inf if slower[-1] else -math.inf, "faster", 0
    i = int(changes[-1])
    root = x[i] + (x[i + 1] - x[i]) * slower_by[i] / (slower_by[i] - slower_by[i + 1])
    return float(root), "slower" if slower[-1] else "faster", len(changes)


def _undecided(ours: Curve, theirs: Curve, x: Floats, root: float) -> tuple[float, float]:
    """Return the ends of the interval about the last crossing, in x; infinite at an end of the range.

    Above the last undecided resolution there is no crossing. Below the next decided one there may be crossings, but
    none of them is the last.
    """
    fine = np.union1d(x, np.linspace(x[0], x[-1], STEPS))
    excess = _p_values(ours, theirs, fine) - (1 - LEVEL)
    undecided = np.flatnonzero(excess >= 0)
    low = high = root
    if len(undecided) and root < math.inf:
        last = int(undecided[-1])
        high = math.inf if last == len(fine) - 1 else max(root, _root_between(fine, excess, last))
    start = undecided[undecided <= np.searchsorted(fine, root)]  # the nearest below the crossing
    if len(start) and root > -math.inf and (root < math.inf or excess[-1] >= 0):
        decided = np.flatnonzero(excess[: start[-1]] < 0)
        low = min(root, _root_between(fine, excess, int(decided[-1]))) if len(decided) else -math.inf
    return low, high


def _p_values(ours: Curve, theirs: Curve, x: Floats) -> Floats:
    """Return p of the curves' difference at each x under the hypothesis of none; 0 where nothing varies."""
    weights = np.hstack([_weights(ours, x), -_weights(theirs, x)])
    mean, error, freedom = (
        np.concatenate([getattr(ours.cells, name), getattr(theirs.cells, name)])
        for name in ("value", "error", "freedom")
    )
    difference = contrast(mean, error, freedom, weights)
    return np.where(difference.error > 0, difference.p_value(), 0.0)


def _weights(model: Curve, x: Floats) -> Floats:
    """Return the weight of each size of a curve at each x, by linear interpolation."""
    return np.column_stack([np.interp(x, model.x, node) for node in np.eye(len(model.x))])


def _root_between(x: Floats, excess: Floats, i: int) -> float:
    """Return where ``excess`` is zero between the i-th x and the next."""
    return float(x[i] + (x[i + 1] - x[i]) * excess[i] / (excess[i] - excess[i + 1]))


def _size_letter(backbone: str) -> str:
    """Return the size letter of a name: s for rwkv-sam-s-1-1, t for efficientsam-ti."""
    match = re.search(r"-([a-z]+)(?:-\d+)*$", backbone)
    return match[1][0] if match else ""
