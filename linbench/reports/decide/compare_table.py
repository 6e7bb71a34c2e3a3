"""A comparison as tables and as plain values: a line for each pair, rankings with ties, what was left out."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from linbench.reports.decide.comparable_cells import BACKBONES, NAMES, Cell, identity
from linbench.reports.decide.compare import Comparison, Pair
from linbench.reports.latency.rows import significant
from linbench.reports.render.table import MISSING, Table
from linbench.reports.statistics.verdicts import Verdict, places

MOST_NAMED = 12
#: Columns that are left out where the lines can be told apart without them, as a backbone goes with its attention.
SECOND = ("checkpoint", "attention", "fused", "compile", "memory_format", "allocator", "matmul")


def tables(found: Comparison) -> list[Table]:
    """The times, the scores, and of backbones the rankings; at least one."""
    made = [*_times(found), *_scores(found)]
    if not made:
        made = [
            Table(f"{' beside '.join(found.names)}: no cell on both sides", ("cell",), (), tuple(_left_out(found)))
        ]
    else:
        made[-1] = Table(made[-1].title, made[-1].columns, made[-1].rows, (*made[-1].notes, *_left_out(found)))
    return [*made, *_rankings(found)]


def _times(found: Comparison) -> list[Table]:
    if not found.times:
        return []
    test = (
        f"Welch's test on the logarithms of the rounds' medians, corrected by Holm over {_tested(found.times)} "
        f"pairs; TIE: shown to be within ±{100 * found.margins.times:g} %; AMBIGUOUS: neither is shown, more rounds "
        "would tell."
    )
    notes = [
        "ratio: the second time over the first, with its 95 % interval (of this pair alone); below 1 the second is "
        "faster. ms: median over the rounds.",
        *([test] if found.ranked and _tested(found.times) else []),
        *([] if found.ranked else [_devices(found)]),
        *_when(found, found.times),
    ]
    return [_table(found, "Times", found.times, "ratio", _ms, _ratio, notes)]


def _scores(found: Comparison) -> list[Table]:
    if not found.scores:
        return []
    test = (
        f"Bootstrap over the images that both have, drawn for both at once, corrected by Holm over "
        f"{_tested(found.scores)} pairs; TIE: shown to be within ±{found.margins.scores:g} points; AMBIGUOUS: "
        "neither is shown, more images would tell."
    )
    notes = ["difference: the second less the first, in points, with its 95 % interval (of this pair alone)."]
    if found.ranked and _tested(found.scores):
        notes.append(test)
    if other := sum(pair.first.key.get("checkpoint") != pair.second.key.get("checkpoint") for pair in found.scores):
        notes.append(f"Of another checkpoint each: {other} of {len(found.scores)} pairs.")
    if any(pair.why == "no mean of images" for pair in found.scores):
        notes.append("no mean of images: a number such as COCO's AP is none, so its pairs are not tested.")
    return [_table(found, "Scores", found.scores, "difference", _percent, _points, notes)]


def _table(
    found: Comparison,
    title: str,
    pairs: Sequence[Pair],
    measure: str,
    shown: Callable[[Cell], str],
    told: Callable[[Pair], tuple[str, str]],
    notes: Sequence[str],
) -> Table:
    telling, shared = _telling([cell for pair in pairs for cell in (pair.first, pair.second)], found)
    for name in SECOND:
        fewer = [each for each in telling if each != name]
        if len({tuple(pair.first.names[each] for each in fewer) for pair in pairs}) == len(pairs):
            telling = fewer
    several = len(found.names) > 2
    names = ("first", "second") if several else found.names
    who = ["first", "second"] if several else []
    heads = (*(telling or ["suite"]), *(f"{name} is" for name in who), *names, measure, "95 %", "verdict")
    lines = []
    for pair in sorted(pairs, key=lambda pair: [_order(pair.first, name) for name in telling]):
        own = [pair.first.names[name] or MISSING for name in telling or ["suite"]]
        both = [pair.first.names["backbone"], pair.second.names["backbone"]] if several else []
        said = pair.judged.verdict if found.ranked else None
        lines.append(
            (*own, *both, shown(pair.first), shown(pair.second), *told(pair), str(said or pair.why or MISSING))
        )
    return Table(f"{title}: {' beside '.join(found.names)}", heads, tuple(lines), (*shared, *notes))


def _telling(cells: Sequence[Cell], found: Comparison) -> tuple[list[str], list[str]]:
    """The names that differ between the lines, and a note with those that all share."""
    values = {name: list(dict.fromkeys(cell.names[name] for cell in cells)) for name in NAMES}
    backbones = any(cell.names["backbone"] in found.names for cell in cells)
    apart = ("backbone", "attention", "fusion", "options", "checkpoint", "fused") if backbones else ()
    telling = [name for name, each in values.items() if len(each) > 1 and name not in (*apart, *_searched(cells))]
    if not found.ranked:
        telling = [name for name in telling if name not in ("device", "threads")]
    shared = ", ".join(
        f"{name} {each[0]}" for name, each in values.items() if len(each) == 1 and each[0] not in ("", "none", "0")
    )
    return telling, [f"All: {shared}."] if shared else []


def _searched(cells: Sequence[Cell]) -> tuple[str, ...]:
    """What tells cells apart only because each search for the preset ``best`` has found its own."""
    if any(cell.names["preset"] == "best" for cell in cells):
        return ("attention", "matmul", "allocator", "memory_format", "compile", "fused")
    return ()


def _order(cell: Cell, name: str) -> tuple[float, str]:
    number = cell.key.get("height", 0) * cell.key.get("width", 0) if name == "size" else cell.key.get(name)
    return (number if isinstance(number, int) else 0, cell.names[name])


def _ms(cell: Cell) -> str:
    return f"{significant(cell.times.median)} ms" if cell.times else cell.status


def _percent(cell: Cell) -> str:
    return cell.status if math.isnan(cell.value) else f"{cell.value:.2f} %"


def _ratio(pair: Pair) -> tuple[str, str]:
    if pair.difference is None:
        both = pair.first.times and pair.second.times
        return (f"{pair.second.number / pair.first.number:.3f}" if both else MISSING), MISSING
    value, low, high = (math.exp(x) for x in (pair.difference.value, pair.difference.low, pair.difference.high))
    return f"{value:.3f}", f"{low:.3f}–{high:.3f}"


def _points(pair: Pair) -> tuple[str, str]:
    if pair.difference is None:
        value = pair.second.value - pair.first.value
        return (MISSING if math.isnan(value) else f"{value:+.2f}"), MISSING
    return f"{pair.difference.value:+.2f}", f"{pair.difference.low:+.2f} to {pair.difference.high:+.2f}"


def _tested(pairs: Iterable[Pair]) -> int:
    return sum(pair.difference is not None for pair in pairs)


def _devices(found: Comparison) -> str:
    sides = (list(dict.fromkeys(cell.names["device"] for cell in side)) for side in _sides(found.times))
    told = "; ".join(f"{name}: {', '.join(each)}" for name, each in zip(found.names, sides, strict=True))
    return f"{told}. Different devices are never ranked, so there is no verdict."


def _sides(pairs: Sequence[Pair]) -> tuple[list[Cell], list[Cell]]:
    return [pair.first for pair in pairs], [pair.second for pair in pairs]


def _when(found: Comparison, pairs: Sequence[Pair]) -> list[str]:
    """That two sides were measured at different times, where they were: a drift of the machine is in no interval."""
    first, second = ([cell for cell in side if cell.began] for side in _sides(pairs))
    if len(found.names) != 2 or not first or not second:
        return []
    ends = [max(cell.started for cell in side) for side in (first, second)]
    if min(cell.began for cell in first) <= ends[1] and min(cell.began for cell in second) <= ends[0]:
        return []
    return [
        f"{found.names[0]} was last measured on {ends[0][:16]}, {found.names[1]} on {ends[1][:16]}, not in turn: "
        "what changed on the machine in between is in the ratio and in no interval."
    ]


def _left_out(found: Comparison) -> list[str]:
    notes = [_named(f"only in {name}", cells) for name, cells in found.alone.items() if cells]
    return notes + [
        _named(f"several in {name} for one cell, so none is compared", cells)
        for name, cells in found.crowded.items()
        if cells
    ]


def _named(what: str, cells: Sequence[Cell]) -> str:
    shown = (
        "suite",
        "metric",
        "backbone",
        "op",
        "case",
        "direction",
        "part",
        "fusion",
        "size",
        "dataset",
        "dtype",
        "preset",
    )
    names = list(dict.fromkeys(_words(cell, shown) for cell in cells))
    left = len(names) - MOST_NAMED
    return f"{what} ({len(names)}): {'; '.join(names[:MOST_NAMED])}{f'; and {left} more' if left > 0 else ''}."


def _words(cell: Cell, shown: Sequence[str]) -> str:
    left_out = "suite" if "metric" in cell.key else "metric"
    return " ".join(cell.names[name] for name in shown if name != left_out and cell.names[name] not in ("", "none"))


def _rankings(found: Comparison) -> list[Table]:
    """For three and more backbones, who stands where in each cell that all have been compared in."""
    if len(found.names) < 3:
        return []
    made = []
    for title, pairs, sign in (("times", found.times, 1), ("scores", found.scores, -1)):
        groups: dict[str, list[Pair]] = {}
        for pair in pairs:
            groups.setdefault(identity(pair.first.key, BACKBONES), []).append(pair)
        told = _telling([cell for pair in pairs for cell in (pair.first, pair.second)], found)[0]
        ordered = sorted(groups.values(), key=lambda group: [_order(group[0].first, name) for name in told])
        lines = [_ranked(group, sign, told) for group in ordered]
        if lines:
            note = "Places with ties: who shares one is not shown to differ from the first who holds it."
            made.append(
                Table(f"Ranking of {title}", (" ".join(told) or "cell", "from the best on"), tuple(lines), (note,))
            )
    return made


def _ranked(pairs: Sequence[Pair], sign: int, told: Sequence[str]) -> tuple[str, str]:
    numbers = {c.names["backbone"]: sign * c.number for pair in pairs for c in (pair.first, pair.second)}
    apart = {
        frozenset((pair.first.names["backbone"], pair.second.names["backbone"]))
        for pair in pairs
        if pair.judged.verdict not in (None, Verdict.TIE, Verdict.AMBIGUOUS)
    }
    order = [name for name in sorted(numbers, key=numbers.__getitem__) if not math.isnan(numbers[name])]
    place = places(order, lambda a, b: frozenset((a, b)) in apart)
    first = pairs[0].first
    return " ".join(first.names[name] for name in told), ", ".join(f"{place[name]} {name}" for name in order)


def as_json(found: Comparison) -> list[dict[str, Any]]:
    """Every pair as plain values, then every cell that was not compared; a missing number is None."""
    lines = []
    for kind, pairs in (("time", found.times), ("score", found.scores)):
        for pair in pairs:
            each = pair.difference
            scale = math.exp if kind == "time" else float
            lines.append(
                {
                    "kind": kind,
                    **{name: value for name, value in pair.first.names.items() if value},
                    "first": pair.first.names["backbone"] if len(found.names) > 2 else found.names[0],
                    "second": pair.second.names["backbone"] if len(found.names) > 2 else found.names[1],
                    "first_value": _plain(pair.first.number),
                    "second_value": _plain(pair.second.number),
                    **{
                        ("ratio" if kind == "time" else "difference") + end: scale(getattr(each, of))
                        if each
                        else None
                        for of, end in (("value", ""), ("low", "_low"), ("high", "_high"))
                    },
                    "p_same": _plain(pair.judged.p_same),
                    "p_apart": _plain(pair.judged.p_apart),
                    "verdict": str(pair.judged.verdict) if found.ranked and pair.judged.verdict else None,
                    "why": pair.why,
                }
            )
    for what, sides in (("alone", found.alone), ("several", found.crowded)):
        lines += [
            {"kind": what, "side": name, **{k: v for k, v in cell.names.items() if v}, "status": cell.status}
            for name, cells in sides.items()
            for cell in cells
        ]
    return lines


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
