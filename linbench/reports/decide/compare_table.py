"""A comparison as tables and as plain values: a line for each pair, rankings with ties, cells left out."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from linbench.reports.decide.comparable_cells import BACKBONES, LABELS, ComparableCell, identity
from linbench.reports.decide.compare import CellPair, Comparison, Margins
from linbench.reports.latency.rows import significant
from linbench.reports.render.table import MISSING, Table
from linbench.reports.statistics.verdicts import Verdict, ranks

MOST_NAMED = 12
#: Columns that are dropped where the lines differ without them, as a backbone often fixes its attention.
OPTIONAL = ("checkpoint", "attention", "fused", "compile", "memory_format", "allocator", "matmul")
#: The labels that name a cell outside its table.
NAMING = (
    *("suite", "metric", "backbone", "op", "case", "direction", "part", "fusion", "size", "dataset", "dtype"),
    "preset",
)


def tables(comparison: Comparison) -> list[Table]:
    """Return the times, the scores, and of backbones the rankings; at least one table."""
    result = [*_times(comparison), *_scores(comparison)]
    if not result:
        result = [Table(f"{_title(comparison)}: no cell on both sides", ("cell",), (), ())]
    last = result[-1]
    result[-1] = Table(last.title, last.columns, last.rows, (*last.notes, *_left_out(comparison)))
    return [*result, *_rankings(comparison)]


def _title(comparison: Comparison) -> str:
    return " vs. ".join(comparison.names)


def _times(comparison: Comparison) -> list[Table]:
    pairs, tested = comparison.times, _tested(comparison.times)
    if not pairs:
        return []
    notes = [
        "ratio: the second time over the first, with its 95 % interval (of this pair alone); below 1 the second is "
        "faster. ms: median over the rounds.",
        *([f"verdict: {describe_test(True, tested, comparison.margins)}"] if comparison.is_ranked and tested else []),
        *([] if comparison.is_ranked else [_devices(comparison)]),
        *_measured_apart(comparison),
    ]
    return [_table(comparison, "Times", pairs, "ratio", _ms, notes)]


def _scores(comparison: Comparison) -> list[Table]:
    pairs, tested = comparison.scores, _tested(comparison.scores)
    if not pairs:
        return []
    notes = ["difference: the second minus the first, in points, with its 95 % interval (of this pair alone)."]
    if comparison.is_ranked and tested:
        notes.append(f"verdict: {describe_test(False, tested, comparison.margins)}")
    if changed := sum(pair.first.key.get("checkpoint") != pair.second.key.get("checkpoint") for pair in pairs):
        notes.append(f"The checkpoints differ in {changed} of {len(pairs)} pairs.")
    if any(pair.reason == "no mean of images" for pair in pairs):
        notes.append("no mean of images: a number such as COCO's AP is no mean over images, so it is not tested.")
    return [_table(comparison, "Scores", pairs, "difference", _percent, notes)]


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


def _table(
    comparison: Comparison,
    title: str,
    pairs: Sequence[CellPair],
    measure: str,
    format_cell: Callable[[ComparableCell], str],
    notes: Sequence[str],
) -> Table:
    names, shared = _distinguishing([cell for pair in pairs for cell in (pair.first, pair.second)], comparison)
    for name in OPTIONAL:
        fewer = [other for other in names if other != name]
        if len({tuple(pair.first.labels[other] for other in fewer) for pair in pairs}) == len(pairs):
            names = fewer
    has_several = len(comparison.names) > 2
    sides = ("first", "second") if has_several else comparison.names
    backbones = ("first is", "second is") if has_several else ()
    lines = []
    for pair in sorted(pairs, key=lambda pair: [_order(pair.first, name) for name in names]):
        labels = [pair.first.labels[name] or MISSING for name in names or ["suite"]]
        both = [cell.labels["backbone"] for cell in (pair.first, pair.second)] if has_several else []
        verdict = pair.verdict if comparison.is_ranked else None
        numbers = (format_cell(pair.first), format_cell(pair.second), *format_difference(pair))
        lines.append((*labels, *both, *numbers, str(verdict or pair.reason or MISSING)))
    heads = (*(names or ["suite"]), *backbones, *sides, measure, "95 %", "verdict")
    return Table(f"{title}: {_title(comparison)}", heads, tuple(lines), (*shared, *notes))


def _distinguishing(cells: Sequence[ComparableCell], comparison: Comparison) -> tuple[list[str], list[str]]:
    """Return the labels that differ between the lines, and a note with those that all share."""
    values = {name: list(dict.fromkeys(cell.labels[name] for cell in cells)) for name in LABELS}
    ignored: set[str] = set() if comparison.is_ranked else {"device", "threads"}
    if any(cell.labels["backbone"] in comparison.names for cell in cells):
        ignored |= {"backbone", "attention", "fusion", "options", "checkpoint", "fused"}
    if any(cell.labels["preset"] == "best" for cell in cells):  # these differ only as each search chose its own
        ignored |= {"attention", "matmul", "allocator", "memory_format", "compile", "fused"}
    names = [name for name, different in values.items() if len(different) > 1 and name not in ignored]
    shared = ", ".join(
        f"{name} {same[0]}" for name, same in values.items() if len(same) == 1 and same[0] not in ("", "none", "0")
    )
    return names, [f"All: {shared}."] if shared else []


def _order(cell: ComparableCell, name: str) -> tuple[float, str]:
    number = cell.key.get("height", 0) * cell.key.get("width", 0) if name == "size" else cell.key.get(name)
    return (number if isinstance(number, int) else 0, cell.labels[name])


def _ms(cell: ComparableCell) -> str:
    return f"{significant(cell.times.median)} ms" if cell.times else cell.status


def _percent(cell: ComparableCell) -> str:
    return cell.status if math.isnan(cell.value) else f"{cell.value:.2f} %"


def format_difference(pair: CellPair) -> tuple[str, str]:
    """Return the ratio of two times, or the difference of two scores in points; and its interval."""
    difference, (first, second) = pair.difference, (pair.first.estimate, pair.second.estimate)
    if pair.first.is_timed:
        if difference is None:
            return (f"{second / first:.3f}" if pair.first.times and pair.second.times else MISSING), MISSING
        value, low, high = (math.exp(x) for x in (difference.value, difference.low, difference.high))
        return f"{value:.3f}", f"{low:.3f}–{high:.3f}"
    if difference is None:
        return (MISSING if math.isnan(second - first) else f"{second - first:+.2f}"), MISSING
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
    first = [pair.first for pair in comparison.times if pair.first.began]
    second = [pair.second for pair in comparison.times if pair.second.began]
    if len(comparison.names) != 2 or not first or not second:
        return []
    ends = [max(cell.started for cell in side) for side in (first, second)]
    if min(cell.began for cell in first) <= ends[1] and min(cell.began for cell in second) <= ends[0]:
        return []
    a, b = comparison.names
    return [
        f"{a} was last measured on {ends[0][:16]}, {b} on {ends[1][:16]}, not in turn: changes of the machine in "
        "between are in the ratio and in no interval."
    ]


def _left_out(comparison: Comparison) -> list[str]:
    unmatched = [_list_cells(f"only in {name}", cells) for name, cells in comparison.unmatched.items() if cells]
    return unmatched + [
        _list_cells(f"several in {name} for one cell, so none is compared", cells)
        for name, cells in comparison.duplicates.items()
        if cells
    ]


def _list_cells(title: str, cells: Sequence[ComparableCell]) -> str:
    names = list(dict.fromkeys(cell_name(cell) for cell in cells))
    hidden = len(names) - MOST_NAMED
    return f"{title} ({len(names)}): {'; '.join(names[:MOST_NAMED])}{f'; and {hidden} more' if hidden > 0 else ''}."


def cell_name(cell: ComparableCell) -> str:
    """Return the labels that name a cell outside its table."""
    left_out = "metric" if cell.is_timed else "suite"
    labels = [cell.labels[name] for name in NAMING if name != left_out]
    return " ".join(label for label in labels if label not in ("", "none"))


def _rankings(comparison: Comparison) -> list[Table]:
    """Rank three and more backbones in each cell in which they are compared."""
    if len(comparison.names) < 3:
        return []
    result = []
    for title, pairs, sign in (("times", comparison.times, 1), ("scores", comparison.scores, -1)):
        groups: dict[str, list[CellPair]] = {}
        for pair in pairs:
            groups.setdefault(identity(pair.first.key, BACKBONES), []).append(pair)
        names = _distinguishing([cell for pair in pairs for cell in (pair.first, pair.second)], comparison)[0]
        ordered = sorted(groups.values(), key=lambda group: [_order(group[0].first, name) for name in names])
        lines = tuple(_ranking(group, sign, names) for group in ordered)
        if lines:
            note = "Ranks with ties: backbones share a rank where none is shown to differ from the first of them."
            result.append(Table(f"Ranking of {title}", (" ".join(names) or "cell", "best first"), lines, (note,)))
    return result


def _ranking(pairs: Sequence[CellPair], sign: int, names: Sequence[str]) -> tuple[str, str]:
    estimates = {c.labels["backbone"]: sign * c.estimate for pair in pairs for c in (pair.first, pair.second)}
    different = {
        frozenset((pair.first.labels["backbone"], pair.second.labels["backbone"]))
        for pair in pairs
        if pair.verdict not in (None, Verdict.TIE, Verdict.AMBIGUOUS)
    }
    order = [name for name in sorted(estimates, key=estimates.__getitem__) if not math.isnan(estimates[name])]
    rank = ranks(order, lambda a, b: frozenset((a, b)) in different)
    cell = pairs[0].first
    return " ".join(cell.labels[name] for name in names), ", ".join(f"{rank[name]} {name}" for name in order)


def as_json(comparison: Comparison) -> list[dict[str, Any]]:
    """Return every pair as plain values, then every cell that was not compared; a missing number is None."""
    pairs = [("time", pair) for pair in comparison.times] + [("score", pair) for pair in comparison.scores]
    left_out = (("alone", comparison.unmatched), ("several", comparison.duplicates))
    return [_plain_pair(kind, pair, comparison) for kind, pair in pairs] + [
        {"kind": kind, "side": name, **_present(cell), "status": cell.status}
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
