"""From which resolution on a backbone is faster than ViT: where their latency curves cross.

Curves are straight between measured sizes, in logarithms of latency and of area. A resolution is the side, in px,
of the square of equal area. Nothing is extrapolated: without a crossing in the range that both were measured in,
the answer is below or above that range.
"""

import math
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from linbench.reports.scaling import Curve, area_tokens, curve, weakest
from linbench.reports.statistics import Draws, Interval, percentile_interval

PATCH = 16  # px


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
    slower_by = _at(ours, x) - _at(theirs, x)
    roots, becomes, count = _last_roots(x, slower_by)
    px = PATCH * np.exp(roots / 2)
    interval = weakest([ours.interval, theirs.interval])
    low, high = percentile_interval(px[1:]) if interval != "none" else (math.nan, math.nan)
    bounds = (PATCH * math.exp(end / 2) for end in (first, last))
    return Crossover(
        other, _ends(px[0]), _ends(low), _ends(high), interval, next(bounds), next(bounds), becomes, count
    )


def _curve(rows: pd.DataFrame, label: str | None) -> Curve | None:
    mine = rows[rows["label"] == label]
    return curve(mine, area_tokens(mine))


def _at(found: Curve, x: Draws) -> Draws:
    """All draws of a curve at ``x``, between its nodes on straight lines."""
    weights = np.column_stack([np.interp(x, found.x, node) for node in np.eye(len(found.x))])
    return found.y @ weights.T


def _last_roots(x: Draws, difference: Draws) -> tuple[Draws, str, int]:
    """Where each row of ``difference`` changes sign for the last time, and for the first row how, and how often.

    A row without a change is -inf or inf, so that it lies on its side of the first row's crossing.
    """
    slower = difference > 0
    changes = slower[:, :-1] != slower[:, 1:]
    count = int(changes[0].sum())
    becomes = "slower" if count and slower[0, -1] else "faster"
    roots = np.where(slower[:, -1] == (becomes == "faster"), math.inf, -math.inf)
    crossing = np.flatnonzero(changes.any(axis=1))
    if len(crossing) == 0:
        return roots, becomes, count
    right = len(x) - 1 - np.argmax(changes[crossing, ::-1], axis=1)
    before, after = difference[crossing, right - 1], difference[crossing, right]
    roots[crossing] = x[right - 1] + (x[right] - x[right - 1]) * before / (before - after)
    return roots, becomes, count


def _ends(px: float) -> float:
    return -math.inf if px == 0 else float(px)


def _is_vit(backbone: str) -> bool:
    return backbone.startswith("vit-")


def _size(backbone: str) -> str:
    """The size letter of a name: s for rwkv-sam-s-1-1, t for efficientsam-ti."""
    found = re.search(r"-([a-z]+)(?:-\d+)*$", backbone)
    return found[1][0] if found else ""
