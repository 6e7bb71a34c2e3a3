"""From which resolution on a backbone is faster than ViT: where their latency curves cross.

Curves are straight between measured sizes, in logarithms of latency and of area. A resolution is the side, in px,
of the square of equal area. Nothing is extrapolated: without a crossing in the range that both were measured in,
the answer is below or above that range.

The interval holds each resolution at which a test at 5 % cannot tell which of the two is faster. It ends outside the
range where the range's own end is such a resolution.
"""

import math
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from linbench.reports.statistics.latency_summary import LEVEL, Floats, Interval, contrast
from linbench.reports.statistics.scaling import Curve, area_tokens, curve, weakest

PATCH = 16  # px
STEPS = 256  # in which the range is searched for the ends of an interval


@dataclass(frozen=True)
class Crossover:
    """The last crossing of a backbone's curve with that of ``reference``.

    px: The crossing; -inf where the backbone is faster in all of ``first`` … ``last``, inf where it is nowhere.
    low, high: The 95 % interval, infinite likewise; NaN where there is none.
    becomes: "faster" or "slower": what the backbone is above the crossing.
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
            return self._words(self.px)
        if math.isinf(self.px):  # the interval ends there too, on one side
            end = self.high if self.px < 0 else self.low
            other = f"or {self._words(end)}" if math.isinf(end) else f"{'to' if self.px < 0 else 'from'} {end:.0f}"
            return f"{self._words(self.px)} ({other})"
        return f"{self._words(self.px)} ({self.between()})"

    def between(self) -> str:
        """The interval, in px: "1090–1170", or "below 512–1170"."""
        return f"{self._words(self.low, bare=True)}–{self._words(self.high, bare=True)}"

    def _words(self, px: float, bare: bool = False) -> str:
        if px == -math.inf:
            return f"below {self.first:.0f}"
        if px == math.inf:
            return f"above {self.last:.0f}"
        return f"{px:.0f}" if bare or self.becomes == "faster" else f"slower from {px:.0f}"


def reference_of(label: str, rows: pd.DataFrame, reference: str | None = None) -> str | None:
    """The label of the model that ``label`` is compared with, or None.

    reference: A backbone's name; by default the ``vit-*`` of the same size letter, else the first ``vit-*``.
    """
    backbones = dict(zip(rows["label"], rows["backbone"], strict=True))
    candidates = [
        other for other, name in backbones.items() if name == reference or (not reference and _is_vit(name))
    ]
    if label in candidates:
        return None
    same_size = [other for other in candidates if _size(backbones[other]) == _size(backbones[label])]
    return next(iter([*same_size, *candidates]), None)


def crossover(rows: pd.DataFrame, label: str, reference: str | None = None) -> Crossover | None:
    """The last crossing of ``label`` with its reference (see reference_of); None where they share no measured range.

    rows: Those of one comparison.
    """
    other = reference_of(label, rows, reference)
    ours, theirs = (_curve(rows, name) for name in (label, other))
    if other is None or ours is None or theirs is None:
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


def _curve(rows: pd.DataFrame, label: str | None) -> Curve | None:
    mine = rows[rows["label"] == label]
    return curve(mine, area_tokens(mine))


def _last_root(x: Floats, slower_by: Floats) -> tuple[float, str, int]:
    """Where the difference changes sign for the last time, what the first curve becomes there, and how many changes.

    Without a change it is -inf or inf.
    """
    slower = slower_by > 0
    changes = np.flatnonzero(slower[:-1] != slower[1:])
    if not len(changes):
        return math.inf if slower[-1] else -math.inf, "faster", 0
    i = int(changes[-1])
    root = x[i] + (x[i + 1] - x[i]) * slower_by[i] / (slower_by[i] - slower_by[i + 1])
    return float(root), "slower" if slower[-1] else "faster", len(changes)


def _undecided(ours: Curve, theirs: Curve, x: Floats, root: float) -> tuple[float, float]:
    """The ends of the interval about the last crossing, in x; infinite where it reaches an end of the range.

    Above the last undecided resolution there is no crossing; below the next decided one there may be, but none that
    is the last.
    """
    fine = np.union1d(x, np.linspace(x[0], x[-1], STEPS))
    excess = _p(ours, theirs, fine) - (1 - LEVEL)
    undecided = np.flatnonzero(excess >= 0)
    low = high = root
    if len(undecided) and root < math.inf:
        last = int(undecided[-1])
        high = math.inf if last == len(fine) - 1 else max(root, _between(fine, excess, last))
    start = undecided[undecided <= np.searchsorted(fine, root)]  # the nearest below the crossing
    if len(start) and root > -math.inf and (root < math.inf or excess[-1] >= 0):
        decided = np.flatnonzero(excess[: start[-1]] < 0)
        low = min(root, _between(fine, excess, int(decided[-1]))) if len(decided) else -math.inf
    return low, high


def _p(ours: Curve, theirs: Curve, x: Floats) -> Floats:
    """At each x the chance of a difference as large as the curves' if there were none; 0 where nothing varies."""
    weights = np.hstack([_weights(ours, x), -_weights(theirs, x)])
    mean, error, freedom = (
        np.concatenate([getattr(ours.cells, name), getattr(theirs.cells, name)])
        for name in ("value", "error", "freedom")
    )
    found = contrast(mean, error, freedom, weights)
    return np.where(found.error > 0, found.beyond(), 0.0)


def _weights(found: Curve, x: Floats) -> Floats:
    """What each size of a curve counts at each x: between two sizes it is a straight line."""
    return np.column_stack([np.interp(x, found.x, node) for node in np.eye(len(found.x))])


def _between(x: Floats, excess: Floats, i: int) -> float:
    """Where ``excess`` is zero, between the i-th x and the next."""
    return float(x[i] + (x[i + 1] - x[i]) * excess[i] / (excess[i] - excess[i + 1]))


def _is_vit(backbone: str) -> bool:
    return backbone.startswith("vit-")


def _size(backbone: str) -> str:
    """The size letter of a name: s for rwkv-sam-s-1-1, t for efficientsam-ti."""
    found = re.search(r"-([a-z]+)(?:-\d+)*$", backbone)
    return found[1][0] if found else ""
