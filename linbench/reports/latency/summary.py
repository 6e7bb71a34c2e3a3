"""What the records of one comparison say, in sentences: each is implied by the numbers and their tests.

A sentence about two times is made only where neither is in doubt (``statistics.doubts``). "Faster" means that a test
at 5 % shows it: Welch's on the logarithms of the rounds' medians; for "the fastest of", corrected for all pairs of
that size by Holm's method. Where nothing can be said the reason stands instead.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from linbench.reports.latency.best_settings import describe_tried
from linbench.reports.latency.notes import by_sizes, counted_noun, doubt_text, listed, warnings
from linbench.reports.latency.rows import SEARCHES
from linbench.reports.statistics.crossover import reference_of
from linbench.reports.statistics.doubts import supported_crossover
from linbench.reports.statistics.latency_summary import contrast, including
from linbench.reports.statistics.quality import COLUMNS, quality
from linbench.reports.statistics.verdicts import ALPHA, holm

MOST = 12  # sentences about pairs, and names in one sentence
SEVERAL_TIMES = 0.25  # below this ratio the slower one is said to need several times as long

CELL = ("label", "size", "median_ms", "log_mean", "log_error", "freedom", *COLUMNS)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Ratio:
    """The time of one model over that of another, with its 95 % interval and p under the hypothesis of none."""

    value: float
    low: float
    high: float
    p: float

    @property
    def is_shown(self) -> bool:
        """Whether a test shows that the times differ."""
        return self.p < ALPHA


def sentences(rows: pd.DataFrame) -> list[str]:
    """Return what the rows of one comparison say; warnings first, then pairs, then what is missing and why."""
    cells = _cells(rows)
    pairs = [text for label in cells for text in _pair(rows, cells, label)]
    hidden = len(pairs) - MOST
    more = [f"{counted_noun(hidden, 'more sentence')} about pairs left out."] if hidden > 0 else []
    about_pairs = [*pairs[:MOST], *more, *_fastest(rows)]
    incomplete = [*_stale(rows), *_failed(rows), *_in_doubt(rows)]
    return [*warnings(rows), *(about_pairs or _no_pairs(rows)), *_tried(rows), *incomplete]


def ratio(ours: Row, theirs: Row) -> Ratio:
    """Return the ratio of two ok cells, ours over theirs; neither may be in doubt."""
    value = math.log(ours["median_ms"] / theirs["median_ms"])
    mean, error, freedom = (
        np.array([cell[name] for cell in (ours, theirs)]) for name in ("log_mean", "log_error", "freedom")
    )
    difference = contrast(mean, error, freedom, np.array([1.0, -1.0]))
    low, high = including(value, *difference.interval())
    return Ratio(math.exp(value), math.exp(low), math.exp(high), float(difference.p_value()))


def ratio_text(value: float, rounding: Any = round) -> str:
    """Return a ratio with two decimals, or three digits where it is 10 or more.

    rounding: ``math.floor`` and ``math.ceil`` for the ends of an interval, so that it never narrows.
    """
    scale = 100 if value < 10 else 10 if value < 100 else 1
    return f"{rounding(value * scale) / scale:.{len(str(scale)) - 1}f}"


def _cells(rows: pd.DataFrame) -> dict[str, dict[str, Row]]:
    """Return the ok cells that are not in doubt, by model and size, the smallest size first."""
    cells: dict[str, dict[str, Row]] = {str(label): {} for label in rows["label"].unique()}
    for row in _ok(rows):
        if not quality(row).doubt:
            cells[str(row["label"])][str(row["size"])] = row
    return cells


def _ok(rows: pd.DataFrame) -> list[Row]:
    """Return what sentences need of the ok cells, of the smallest images first."""
    ok = rows[rows["status"] == "ok"].sort_values(["pixels", "height"], kind="stable")
    return [{str(name): value for name, value in row.items()} for row in ok[list(CELL)].to_dict("records")]


def _pair(rows: pd.DataFrame, cells: Mapping[str, Mapping[str, Row]], label: str) -> Iterator[str]:
    """Yield what is known of a model beside its reference: at the largest common size, and where they cross."""
    other = reference_of(label, rows)
    common = [size for size in cells[label] if other is not None and size in cells[other]]
    if other is None or not common:
        return
    ratios = {size: ratio(cells[label][size], cells[other][size]) for size in common}
    yield ratio_sentence(label, other, common[-1], ratios[common[-1]])
    yield from _crossing(rows, label, other, ratios)


def ratio_sentence(label: str, other: str, size: str, needed: Ratio) -> str:
    """Say how long one model takes beside another at one size."""
    interval = f"95 %: {ratio_text(needed.low, math.floor)}–{ratio_text(needed.high, math.ceil)}"
    if not needed.is_shown:
        return (
            f"At {size}, no test shows whether {label} or {other} is faster "
            f"(ratio {ratio_text(needed.value)}, {interval})."
        )
    if needed.value < SEVERAL_TIMES:
        interval = f"95 %: {ratio_text(1 / needed.high, math.floor)}–{ratio_text(1 / needed.low, math.ceil)}"
        return f"At {size}, {other} needs {ratio_text(1 / needed.value)} times as long as {label} ({interval})."
    if needed.value < 1:
        return f"At {size}, {label} needs {ratio_text(needed.value)} of {other}'s time ({interval})."
    return f"At {size}, {label} needs {ratio_text(needed.value)} times as long as {other} ({interval})."


def _crossing(rows: pd.DataFrame, label: str, other: str, ratios: Mapping[str, Ratio]) -> Iterator[str]:
    """Say from where on a model is faster, where tests at both ends of the common range show it."""
    crossing = supported_crossover(rows, label)
    if crossing is None or len(ratios) < 2:
        return
    sizes = list(ratios)
    winners = [(label if needed.value < 1 else other) if needed.is_shown else "" for needed in ratios.values()]
    if crossing.count == 0 and "" not in winners and len(set(winners)) == 1:
        slower = other if winners[0] == label else label
        yield f"{winners[0]} is faster than {slower} at each of {len(sizes)} sizes, {sizes[0]} to {sizes[-1]}."
    below, above = (other, label) if crossing.becomes == "faster" else (label, other)
    is_closed = math.isfinite(crossing.low) and math.isfinite(crossing.high)
    if crossing.count == 1 and is_closed and (winners[0], winners[-1]) == (below, above):
        interval = "" if crossing.low == crossing.high else f" (95 %: {crossing.between()} px)"
        yield (
            f"Between {crossing.first:.0f} and {crossing.last:.0f} px, {below} is faster up to {crossing.px:.0f} px, "
            f"{above} above{interval}."
        )


def _fastest(rows: pd.DataFrame) -> list[str]:
    """Name who is shown to be the fastest of all that ran, with the sizes at which that holds.

    Of a model and its reference alone the ratio says it.
    """
    winners: dict[tuple[str, int], list[str]] = {}
    by_size: dict[str, list[Row]] = {}
    for row in _ok(rows):
        by_size.setdefault(str(row["size"]), []).append(row)
    for size, cells in by_size.items():
        is_one_pair = len(cells) == 2 and any(
            reference_of(cells[i]["label"], rows) == cells[1 - i]["label"] for i in (0, 1)
        )
        if len(cells) > 1 and not is_one_pair and (winner := _shown_fastest(cells)):
            winners.setdefault((winner, len(cells)), []).append(size)
    return [
        f"{winner} is the fastest of the {count} that ran at {', '.join(sizes)}."
        for (winner, count), sizes in winners.items()
    ]


def _shown_fastest(cells: Sequence[Row]) -> str:
    """Return the model of least latency where each test against another shows it; else an empty text."""
    if any(quality(cell).doubt for cell in cells):
        return ""
    best = min(range(len(cells)), key=lambda i: cells[i]["median_ms"])
    pairs = list(combinations(range(len(cells)), 2))
    corrected = holm([ratio(cells[i], cells[j]).p for i, j in pairs])
    is_shown = all(p < ALPHA for pair, p in zip(pairs, corrected, strict=True) if best in pair)
    return str(cells[best]["label"]) if is_shown else ""


def _tried(rows: pd.DataFrame) -> list[str]:
    """Say of a preset with searches how many settings they tried."""
    searched = rows[rows["search"].map(bool)]
    if (
        searched.empty
        or "preset" not in rows
        or len(presets := set(rows["preset"])) > 1
        or not presets <= set(SEARCHES)
    ):
        return []
    models: dict[int, list[str]] = {}
    untried = 0
    for label, group in searched.groupby("label", sort=False):
        search = group["search"].iloc[-1]
        models.setdefault(len(search.get("candidates") or []), []).append(str(label))
        untried += len(search.get("untried") or [])
    texts = [f"{describe_tried(count)} ({listed(labels, MOST)})" for count, labels in models.items()]
    more = f" Not tried for lack of time: {counted_noun(untried, 'setting')}; raise --search-seconds."
    return [f"{presets.pop()}: {'; '.join(texts)}.{more if untried else ''}"]


def _no_pairs(rows: pd.DataFrame) -> list[str]:
    if rows["label"].nunique() == 1:
        return ["Only one model was measured under these conditions: there is nothing to compare it with."]
    return ["No model is shown to be the fastest at any size."]


def _stale(rows: pd.DataFrame) -> list[str]:
    stale = rows[rows["stale"]]
    cells = by_sizes(zip(stale["label"], stale["size"], strict=True))
    return [f"The code has changed since these were measured: {cells}."] if cells else []


def _failed(rows: pd.DataFrame) -> list[str]:
    """Say which cells gave no time."""
    failed = rows.loc[rows["status"] != "ok", ["label", "size", "status"]].itertuples(index=False)
    names = [f"{label} at {size} ({status})" for label, size, status in failed]
    return [f"No time: {listed(names)}."] if names else []


def _in_doubt(rows: pd.DataFrame) -> list[str]:
    text = doubt_text(rows)
    return [f"Nothing is derived from these times: {text}."] if text else []
