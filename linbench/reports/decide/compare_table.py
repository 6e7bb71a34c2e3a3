"""A comparison as tables and as plain values: a line for each pair, ranks of three and more, cells left out."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from linbench.reports.decide import marks
from linbench.reports.decide.comparable_cells import ComparableCell
from linbench.reports.decide.compare import CellPair, Comparison, Margins
from linbench.reports.decide.naming import distinguishing, list_cells, order
from linbench.reports.decide.ranking import rankings
from linbench.reports.decide.speed import THROUGHPUT
from linbench.reports.render.table import MISSING, Table

NOT_COMPARED = "not compared"
RATIO = (
    "ratio: the second time over the first, with its 95 % interval (of this pair alone); below 1 the second is "
    "faster."
)
#: Columns that are dropped where the lines differ without them, as a backbone often fixes its attention.
OPTIONAL = ("checkpoint", "attention", "fused", "compile", "memory_format", "allocator", "matmul")


def tables(comparison: Comparison) -> list[Table]:
    """Return the times, the scores, and of backbones the rankings; at least one table."""
    result = [*_times(comparison), *_scores(comparison)]
    if not result:
        result = [Table(f"{_title(comparison)}: no cell on both sides", ("cell",), (), ())]
    result[-1] = replace(result[-1], notes=(*result[-1].notes, *_left_out(comparison)))
    return [*result, *rankings(comparison)]


def _title(comparison: Comparison) -> str:
    return " vs. ".join(comparison.names)


def _times(comparison: Comparison) -> list[Table]:
    pairs, tested = comparison.times, _tested(comparison.times)
    if not pairs:
        return []
    notes = [
        *_marks(pairs),
        "ms: median over the rounds" + "; of throughput, per image" * any(map(_is_throughput, pairs)) + ".",
        *([RATIO] if tested else []),
        *([f"verdict: {describe_test(True, tested, comparison.margins)}"] if comparison.is_ranked and tested else []),
        *([] if comparison.is_ranked else [_devices(comparison)]),
        *(_measured_apart(comparison) if tested else []),
    ]
    return _tables(comparison, "Times", pairs, ("ms", "ratio"), notes)


def _is_throughput(pair: CellPair) -> bool:
    return pair.first.labels["suite"] == THROUGHPUT.suite


def _scores(comparison: Comparison) -> list[Table]:
    pairs, tested = comparison.scores, _tested(comparison.scores)
    if not pairs:
        return []
    notes = [
        *_marks(pairs),
        "difference: the second minus the first, in points, with its 95 % interval (of this pair alone).",
    ]
    if comparison.is_ranked and tested:
        notes.append(f"verdict: {describe_test(False, tested, comparison.margins)}")
    if changed := sum(pair.first.key.get("checkpoint") != pair.second.key.get("checkpoint") for pair in pairs):
        notes.append(f"The checkpoints differ in {changed} of {len(pairs)} pairs.")
    if any(pair.reason == "no mean of images" for pair in pairs):
        notes.append("no mean of images: a number such as COCO's AP is no mean over images, so it is not tested.")
    return _tables(comparison, "Scores", pairs, ("%", "difference"), notes)


def _marks(pairs: Sequence[CellPair]) -> list[str]:
    """Explain the marks, and why some pairs are not compared."""
    cells = [cell for pair in pairs for cell in (pair.first, pair.second)]
    doubts = ", ".join(marks.doubts(cells))
    return [
        *marks.notes(cells),
        *([f"{NOT_COMPARED}: nothing is derived from a time with {doubts}."] if doubts else []),
    ]


def describe_test(is_timed: bool, tested: int, margins: Margins) -> str:
    """Return the test behind the verdicts on ``tested`` pairs of times or scores, and what the verdicts mean."""
    test, margin, samples = "paired bootstrap over the images that both have", f"{margins.scores:g} points", "images"
    if is_timed:
        test, margin = "Welch's test on the logarithms of the rounds' medians", f"{100 * margins.times:g} %"
        samples = "rounds"
    return (
        f"{test}, corrected by Holm over {tested} pair{'s' * (tested != 1)}; TIE: shown to be within ±{margin}; "
        f"AMBIGUOUS: neither is shown, more {samples} would tell."
    )


def _tables(
    comparison: Comparison, title: str, pairs: Sequence[CellPair], heads: tuple[str, str], notes: Sequence[str]
) -> list[Table]:
    """Return one table of two sides; of several backbones one for each cell.

    heads: Of the numbers and of their difference.
    """
    names, shared = distinguishing([cell for pair in pairs for cell in (pair.first, pair.second)], comparison)
    for name in OPTIONAL:
        fewer = [other for other in names if other != name]
        if len({tuple(pair.first.labels[other] for other in fewer) for pair in pairs}) == len(pairs):
            names = fewer
    unit, difference = heads
    is_ranked = comparison.is_ranked
    ordered = sorted(pairs, key=lambda pair: [order(pair.first, name) for name in names])
    if len(comparison.names) == 2:
        labels = names or ["suite"]
        lines = [(*(p.first.labels[name] or MISSING for name in labels), *_numbers(p, is_ranked)) for p in ordered]
        columns = (*labels, *(f"{side}\n{unit}" for side in comparison.names), difference, "95 %", "verdict")
        return [Table(f"{title}: {_title(comparison)}", columns, tuple(lines), (*shared, *notes))]
    groups: dict[str, list[tuple[str, ...]]] = {}
    for pair in ordered:
        both = [cell.labels["backbone"] for cell in (pair.first, pair.second)]
        cell = " ".join(pair.first.labels[name] for name in names)
        groups.setdefault(f" at {cell}" if cell else "", []).append((*both, *_numbers(pair, is_ranked)))
    columns = ("first is", "second is", f"first\n{unit}", f"second\n{unit}", difference, "95 %", "verdict")
    tables = [Table(f"{title}{cell}", columns, tuple(lines)) for cell, lines in groups.items()]
    return [*tables[:-1], replace(tables[-1], notes=(*shared, *notes))]


def _numbers(pair: CellPair, is_ranked: bool) -> tuple[str, ...]:
    numbers = [marks.format_value(cell) for cell in (pair.first, pair.second)]
    verdict = pair.verdict if is_ranked else None
    return (
        *numbers,
        *format_difference(pair),
        NOT_COMPARED if pair.in_doubt else str(verdict or pair.reason or MISSING),
    )


def format_difference(pair: CellPair) -> tuple[str, str]:
    """Return the ratio of two times, or the difference of two scores in points; and its interval."""
    difference = pair.difference
    if pair.first.is_timed:
        if difference is None:
            return MISSING, MISSING
        value, low, high = (math.exp(x) for x in (difference.value, difference.low, difference.high))
        return f"{value:.3f}", f"{low:.3f}–{high:.3f}"
    if difference is None:
        points = pair.second.estimate - pair.first.estimate
        return (MISSING if math.isnan(points) else f"{points:+.2f}"), MISSING
    return f"{difference.value:+.2f}", f"{difference.low:+.2f} to {difference.high:+.2f}"


def _tested(pairs: Iterable[CellPair]) -> int:
    return sum(pair.difference is not None for pair in pairs)


def _devices(comparison: Comparison) -> str:
    sides = [[pair.first for pair in comparison.times], [pair.second for pair in comparison.times]]
    devices = [", ".join(dict.fromkeys(cell.labels["device"] for cell in side)) for side in sides]
    listed = "; ".join(f"{name}: {device}" for name, device in zip(comparison.names, devices, strict=True))
    return f"{listed}. Different devices are never ranked, so there is no verdict."


def _measured_apart(comparison: Comparison) -> list[str]:
    """Note where the sides were measured at different times: no interval covers a drifting machine."""
    first = [pair.first.span for pair in comparison.times if pair.first.span[0]]
    second = [pair.second.span for pair in comparison.times if pair.second.span[0]]
    if len(comparison.names) != 2 or not first or not second:
        return []
    starts, ends = zip(*((min(s for s, _ in side), max(e for _, e in side)) for side in (first, second)), strict=True)
    if starts[0] <= ends[1] and starts[1] <= ends[0]:
        return []
    a, b = comparison.names
    return [
        f"{a} was last measured on {ends[0][:16]}, {b} on {ends[1][:16]}, not in turn: changes of the machine in "
        "between are in the ratio and in no interval."
    ]


def _left_out(comparison: Comparison) -> list[str]:
    unmatched = [list_cells(f"only in {name}", cells) for name, cells in comparison.unmatched.items() if cells]
    return unmatched + [
        list_cells(f"several in {name} for one cell, so none is compared", cells)
        for name, cells in comparison.duplicates.items()
        if cells
    ]


def as_json(comparison: Comparison) -> list[dict[str, Any]]:
    """Return every pair as plain values, then every cell that was not compared; a missing number is None."""
    pairs = [("time", pair) for pair in comparison.times] + [("score", pair) for pair in comparison.scores]
    left_out = (("alone", comparison.unmatched), ("several", comparison.duplicates))
    return [_plain_pair(kind, pair, comparison) for kind, pair in pairs] + [
        {"kind": kind, "side": name, **_present(cell), "status": cell.status, **marks.as_json(cell)}
        for kind, sides in left_out
        for name, cells in sides.items()
        for cell in cells
    ]


def _plain_pair(kind: str, pair: CellPair, comparison: Comparison) -> dict[str, Any]:
    has_several = len(comparison.names) > 2
    sides = [pair.first.labels["backbone"], pair.second.labels["backbone"]] if has_several else comparison.names
    measure, scale = ("ratio", math.exp) if kind == "time" else ("difference", float)
    difference = pair.difference
    ends = (("", "value"), ("_low", "low"), ("_high", "high"))
    return {
        "kind": kind,
        **_present(pair.first),
        "first": sides[0],
        "second": sides[1],
        "first_value": _finite(pair.first.estimate),
        "second_value": _finite(pair.second.estimate),
        **{f"first_{name}": value for name, value in marks.as_json(pair.first).items()},
        **{f"second_{name}": value for name, value in marks.as_json(pair.second).items()},
        **{measure + end: scale(getattr(difference, name)) if difference else None for end, name in ends},
        "p_same": _finite(pair.judgement.p_same),
        "p_apart": _finite(pair.judgement.p_apart),
        "verdict": str(pair.verdict) if comparison.is_ranked and pair.verdict else None,
        "why": pair.reason,
    }


def _present(cell: ComparableCell) -> dict[str, str]:
    return {name: label for name, label in cell.labels.items() if label}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
