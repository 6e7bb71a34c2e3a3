"""What may be derived from measured curves (docs/measurement.md, rule 23): all that report, page and choices state.

An exponent or a crossover is stated only where no ok cell of the curves behind it is in doubt. ``doubts`` says why it
is not. A larger image that is faster beyond the intervals is a warning of its own: one of the two times is wrong.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from linbench.reports.statistics.crossover import Crossover, crossover, reference_of
from linbench.reports.statistics.quality import COLUMNS, Quality, quality
from linbench.reports.statistics.scaling import CURVES, Exponent, exponent

#: The columns of ``latency.rows.rows`` that supported exponents and crossovers need.
SUPPORTED = (*CURVES, "size", *COLUMNS)
#: Those that a doubt or an inversion needs.
CELL = ("label", "size", "height", "width", "pixels", "median_ms", "low_ms", "high_ms", *COLUMNS)


@dataclass(frozen=True)
class Doubt:
    """Why nothing is derived from some cells of a model.

    reason: As ``Quality.doubt``, of the most disturbed of the cells.
    sizes: Of the cells, the smallest first.
    """

    label: str
    reason: str
    sizes: tuple[str, ...]


@dataclass(frozen=True)
class Inversion:
    """Two cells of a model of which the larger image is faster, with its interval below that of the smaller one."""

    label: str
    smaller: str
    larger: str
    smaller_ms: float
    larger_ms: float


def doubts(rows: pd.DataFrame, labels: Collection[str | None] | None = None) -> list[Doubt]:
    """Return the doubts about the ok cells of one comparison; empty where each of them may be derived from.

    labels: Of the models that count; None for all.
    """
    cells: dict[tuple[str, bool, bool], list[tuple[str, Quality]]] = {}
    for row in _ok(rows, labels):
        known = quality(row)
        if known.doubt:
            kind = (str(row["label"]), known.is_disturbed, known.is_throttled and not known.is_disturbed)
            cells.setdefault(kind, []).append((str(row["size"]), known))
    return [
        Doubt(label, max(known, key=_disturbance)[1].doubt, tuple(size for size, _ in known))
        for (label, *_), known in cells.items()
    ]


def supported_exponent(rows: pd.DataFrame) -> Exponent | None:
    """Return the exponent of one model's rows; None where there is none, or where ``doubts(rows)`` has a reason."""
    return None if doubts(rows) else exponent(rows)


def supported_crossover(rows: pd.DataFrame, label: str, reference: str | None = None) -> Crossover | None:
    """Return the crossover of a model; None where there is none, or a cell of either curve is in doubt."""
    other = reference_of(label, rows, reference)
    return None if doubts(rows, (label, other)) else crossover(rows, label, reference)


def inversions(rows: pd.DataFrame) -> list[Inversion]:
    """Return of each model the pair of cells whose larger image is faster by the most; only beyond the intervals.

    A larger image has at least the height and the width of the smaller one. Disturbed cells count too: this is how a
    disturbance shows where no system tells of it.
    """
    cells: dict[str, list[dict[str, Any]]] = {}
    for row in _ok(rows):
        cells.setdefault(str(row["label"]), []).append(row)
    worst: dict[str, Inversion] = {}
    for inverted in (inversion for model in cells.values() for inversion in _inverted(model)):
        other = worst.get(inverted.label)
        if other is None or inverted.smaller_ms / inverted.larger_ms > other.smaller_ms / other.larger_ms:
            worst[inverted.label] = inverted
    return list(worst.values())


def _inverted(cells: list[dict[str, Any]]) -> Iterator[Inversion]:
    for large in cells:
        for small in cells:
            is_larger = large["height"] >= small["height"] and large["width"] >= small["width"]
            if is_larger and large["pixels"] > small["pixels"] and large["high_ms"] < small["low_ms"]:
                names = (str(large["label"]), str(small["size"]), str(large["size"]))
                yield Inversion(*names, small["median_ms"], large["median_ms"])


def _ok(rows: pd.DataFrame, labels: Collection[str | None] | None = None) -> list[dict[str, Any]]:
    """Return the ok cells, of ``labels`` where they are given, by size; columns are quick to cut, frames are not."""
    order = np.argsort(rows["pixels"].to_numpy(), kind="stable")
    is_ok = rows["status"].to_numpy() == "ok"
    if labels is not None:
        is_ok &= np.isin(rows["label"].to_numpy(dtype=object), list(filter(None, labels)))
    order = order[is_ok[order]]
    columns = {name: rows[name].to_numpy()[order].tolist() for name in CELL if name in rows}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _disturbance(cell: tuple[str, Quality]) -> float:
    return cell[1].others_share if cell[1].is_disturbed else 0.0
