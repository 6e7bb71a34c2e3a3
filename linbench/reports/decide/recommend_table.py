"""A recommendation as text, tables and plain values."""

import math
from collections.abc import Sequence
from typing import Any

from linbench.reports.decide import marks
from linbench.reports.decide.commands import with_resolutions
from linbench.reports.decide.comparable_cells import format_size
from linbench.reports.decide.compare_table import describe_test, format_difference
from linbench.reports.decide.recommend import (
    LATENCY,
    MARGINS,
    MIB_PER_GB,
    Contender,
    Recommendation,
    Request,
    Rival,
)
from linbench.reports.latency.rows import significant
from linbench.reports.render.table import MISSING, Table
from linbench.reports.statistics.verdicts import Verdict

NOTEWORTHY = 1.1  # a rival this many times as fast as the best is mentioned
#: Conditions that the table names.
OF_LATENCIES = ("device", "preset", "part", "dtype", "threads", "prompts")
OF_SCORES = ("dataset", "split", "protocol", "images", "box_source", "device")


def describe(answer: Recommendation) -> list[str]:
    """Return lines of text: the best, the runner-up with its loss, and whether the loss is more than noise."""
    request = answer.request
    warning = marks.headline(contender.latency for contender in answer.shown if contender.latency)
    lines = [warning] * bool(warning)
    if answer.best is None and not answer.unranked:
        return [*lines, f"Nothing fits {_describe_request(request)}."]
    if answer.best is None:
        return [
            *lines,
            f"No recommendation for {_describe_request(request)}. Not ranked: {_describe_unranked(answer)}.",
        ]
    among = (
        f", of the {len(answer.ranked)} that can be ranked" if answer.rivals else ", the only one that can be ranked"
    )
    among = among if answer.unranked else ""
    lines.append(f"Best {_describe_request(request)}{among}: {_describe(answer.best, request)}.")
    times = answer.best.latency.times if answer.best.latency else None
    if request.latency_ms is not None and times and times.high > request.latency_ms:
        lines.append(f"Its latency may be above the limit: the 95 % interval reaches {times.high:.4g} ms.")
    if answer.rivals:
        second = answer.rivals[0]
        lines.append(f"Runner-up: {_describe(second.contender, request)}; {_describe_loss(second)}.")
    else:
        lines.append("There is no runner-up: nothing else fits" + " and can be ranked" * bool(answer.unranked) + ".")
    unranked = [f"Not ranked: {_describe_unranked(answer)}."] if answer.unranked else []
    return [*lines, *_faster_rival(answer), *unranked]


def _describe_unranked(answer: Recommendation) -> str:
    """Return how many contenders cannot be ranked, and why."""
    latencies = [entry.contender.latency for entry in answer.unranked if entry.contender.latency]
    count = f"{len(answer.unranked)} of {len(answer.shown)} ({'; '.join(marks.doubts(latencies).values())})"
    limit = answer.request.latency_ms
    return count if limit is None else f"{count}; whether these take at most {limit:g} ms is unknown"


def _describe_request(request: Request) -> str:
    limits = ((request.latency_ms, "ms"), (request.memory_gb, "GB"), (request.params_m, "M parameters"))
    within = " and ".join(f"{limit:g} {unit}" for limit, unit in limits if limit is not None)
    sizes = " or ".join(format_size(h, w) for h, w in request.sizes)
    return request.metric + (f" at {sizes}" if sizes else "") + (f" within {within}" if within else "")


def _describe(contender: Contender, request: Request) -> str:
    size = "" if len(request.sizes) == 1 else f" at {contender.cell.labels['size']}"
    parts = [contender.label + size]
    if score := contender.score:
        parts.append(f"{marks.format_value(score, '%')}{_interval(score.low, score.high)}")
        if score.standing:
            parts.append(f"COMPARABLE WITH NOTHING PUBLISHED ({score.standing})")
    if (latency := contender.latency) and latency.times:
        interval = "" if latency.doubt else _interval(*latency.bounds)
        parts.append(f"{marks.format_value(latency, 'ms')}{interval}")
    return ", ".join(parts)


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) else f" ({significant(low)}–{significant(high)})"


def _describe_loss(rival: Rival) -> str:
    difference = rival.pair.difference
    if difference is None:
        intervals = {
            None: "an interval is missing, so whether they differ is unknown",
            True: "the two intervals do not overlap",
            False: "the two intervals overlap, so no difference is shown",
        }
        return f"there is no paired test ({rival.pair.reason}); {intervals[rival.is_apart]}"
    if rival.contender.cell.is_timed:
        low, value, high = (100 * math.expm1(x) for x in (difference.low, difference.value, difference.high))
        loss = f"it takes {value:.1f} % longer ({low:.1f} to {high:.1f})"
        if value > 100:
            loss = f"it takes {1 + value / 100:.3g} times as long ({1 + low / 100:.3g} to {1 + high / 100:.3g})"
    else:
        loss = f"it loses by {-difference.value:.2f} points ({-difference.high:.2f} to {-difference.low:.2f})"
    if rival.pair.verdict is Verdict.TIE:
        return f"{loss}: a tie, shown to be within the margin"
    return f"{loss}: {'within' if rival.pair.verdict is Verdict.AMBIGUOUS else 'more than'} the uncertainty"


def _faster_rival(answer: Recommendation) -> list[str]:
    """Name the fastest rival that is not shown to be worse and clearly faster than the best, if there is one."""
    best = answer.best.latency if answer.best else None
    if not best or not best.times or best.doubt or answer.request.metric == LATENCY:
        return []
    faster = [
        (other.times.median, rival.contender.label)
        for rival in answer.rivals
        if (other := rival.contender.latency) and other.times and not other.doubt and not _may_be_worse(rival)
        if best.times.median >= NOTEWORTHY * other.times.median and other.times.high < best.times.low
    ]
    if not faster:
        return []
    ms, label = min(faster, key=lambda entry: entry[0])
    return [f"Not shown to be worse, and {best.times.median / ms:.2g} times as fast: {label}, {significant(ms)} ms."]


def _may_be_worse(rival: Rival) -> bool:
    """Return whether a rival is shown to be worse, or its interval is unknown."""
    if rival.pair.difference is None:
        return rival.is_apart is not False
    return rival.pair.verdict not in (Verdict.TIE, Verdict.AMBIGUOUS)


def tables(answer: Recommendation) -> list[Table]:
    """Return a table of what fits, best first, and one of what cannot be ranked; none where nothing fits."""
    lines: list[Line] = [(answer.best, ("", "best") if answer.rivals else ())] if answer.best else []
    lines += [(rival.contender, _verdict(rival)) for rival in answer.rivals]
    measure = "times\nthe best" if answer.request.metric == LATENCY else "points from\nthe best"
    result = []
    if lines:
        title, notes = (
            f"What fits {_describe_request(answer.request)}",
            (*_conditions(answer), *_method(answer), *_straddling(answer)),
        )
        result.append(_table(answer, title, lines, (measure, "verdict") if answer.rivals else (), notes))
    if answer.unranked:
        unranked: list[Line] = [(entry.contender, ()) for entry in answer.unranked]
        result.append(_table(answer, "Not ranked", unranked, (), () if lines else tuple(_conditions(answer))))
    return result


Line = tuple[Contender, tuple[str, ...]]


def _table(
    answer: Recommendation, title: str, lines: Sequence[Line], heads: tuple[str, ...], notes: tuple[str, ...]
) -> Table:
    """Return a table of contenders with further columns; sizes have one where they differ."""
    sizes = ("size",) if len({contender.cell.labels["size"] for contender in answer.shown}) > 1 else ()
    score = () if answer.request.metric == LATENCY else (f"{answer.request.metric}\n%",)
    rows = tuple(
        (contender.label, *([contender.cell.labels["size"]] * len(sizes)), *_numbers(contender), *further)
        for contender, further in lines
    )
    cells = [cell for contender, _ in lines for cell in (contender.score, contender.latency) if cell]
    columns = ("model", *sizes, *score, "latency\nms", "memory\nGB", "params\nM", *heads)
    return Table(title, columns, rows, (*marks.notes(cells), *notes))


def _numbers(contender: Contender) -> list[str]:
    latency, score = contender.latency, contender.score
    memory, parameters = (latency.peak_mib / MIB_PER_GB, latency.parameters_m) if latency else (math.nan, math.nan)
    return [
        *([marks.format_value(score)] if score else []),
        marks.format_value(latency) if latency and latency.times else MISSING,
        *(MISSING if math.isnan(value) else f"{value:.3g}" for value in (memory, parameters)),
    ]


def left_out(answer: Recommendation, folder: str = "") -> list[str]:
    """Return a line for each excluded model with the reason, and the commands that would measure what is missing.

    folder: Of the records, where it is not the default.
    """
    reasons: dict[tuple[str, str], list[str]] = {}
    for entry in sorted(answer.excluded, key=lambda entry: (entry.label, len(entry.size), entry.size)):
        reasons.setdefault((entry.label, entry.reason), []).append(entry.size)
    missing = [(entry.label, entry.command, entry.size) for entry in answer.excluded if entry.command]
    missing += [(u.contender.label, u.command, u.contender.cell.labels["size"]) for u in answer.unranked]
    commands = with_resolutions([(command, size) for _, command, size in sorted(missing)], folder)
    return [
        *(["Left out, and why:"] if reasons else []),
        *(f"{label} at {', '.join(sizes)}: {reason}" for (label, reason), sizes in reasons.items()),
        *(["To measure what is missing:"] if commands else []),
        *commands,
    ]


def _verdict(rival: Rival) -> tuple[str, str]:
    difference = rival.pair.difference
    if difference is None:
        intervals = {None: "unknown", True: "intervals apart", False: "intervals overlap"}
        return MISSING, intervals[rival.is_apart]
    if not rival.contender.cell.is_timed:
        value, interval = format_difference(rival.pair)
        return f"{value} ({interval})", str(rival.pair.verdict)
    value, low, high = (significant(math.exp(x)) for x in (difference.value, difference.low, difference.high))
    return f"{value} ({low}–{high})", str(rival.pair.verdict)


def _straddling(answer: Recommendation) -> list[str]:
    """Name the contenders that may be above the limit: their interval reaches beyond it."""
    limit = answer.request.latency_ms
    if limit is None:
        return []
    named = [
        f"{contender.label} at {contender.cell.labels['size']} (to {significant(latency.times.high)} ms)"
        for contender in answer.ranked
        if (latency := contender.latency) and latency.times and latency.times.high > limit
    ]
    return [f"May be above the limit of {limit:g} ms by their 95 % interval: {', '.join(named)}."] if named else []


def _conditions(answer: Recommendation) -> list[str]:
    notes = []
    for kind, names, values in (
        ("Latencies", OF_LATENCIES, answer.latencies),
        ("Scores", OF_SCORES, answer.scores),
    ):
        named = [f"{name} {values[name]}" for name in names if values.get(name) not in (None, "none", "0")]
        notes += [f"{kind}: {', '.join(named)}."] if named else []
    standings = sorted({c.score.standing for c in answer.shown if c.score and c.score.standing})
    return [*notes, *(f"These scores compare with nothing published: {standing}." for standing in standings)]


def _method(answer: Recommendation) -> list[str]:
    tested = sum(rival.pair.difference is not None for rival in answer.rivals)
    test = describe_test(answer.request.metric == LATENCY, tested, MARGINS)
    measure = (
        "times the best: the ratio" if answer.request.metric == LATENCY else "points from the best: the difference"
    )
    return [f"{measure} with its 95 % interval; verdict: {test}"] if tested else []


def as_json(answer: Recommendation) -> dict[str, Any]:
    """Return the whole answer as plain values; a missing number is None."""
    return {
        "metric": answer.request.metric,
        "answer": describe(answer),
        "best": _plain(answer.best) if answer.best else None,
        "others": [_plain_rival(rival) for rival in answer.rivals],
        "not_ranked": [
            {**_plain(entry.contender), "why": entry.reason, "command": entry.command} for entry in answer.unranked
        ],
        "excluded": [
            {"label": entry.label, "size": entry.size, "why": entry.reason, "command": entry.command}
            for entry in answer.excluded
        ],
        "latencies": answer.latencies,
        "scores": answer.scores,
    }


def _plain_rival(rival: Rival) -> dict[str, Any]:
    difference, verdict = rival.pair.difference, rival.pair.verdict
    return {
        **_plain(rival.contender),
        "difference": difference.value if difference else None,
        "low": difference.low if difference else None,
        "high": difference.high if difference else None,
        "verdict": str(verdict) if verdict else None,
        "intervals_apart": rival.is_apart,
    }


def _plain(contender: Contender) -> dict[str, Any]:
    latency, score = contender.latency, contender.score
    times = latency.times if latency else None
    numbers = {
        "score": score.value if score else math.nan,
        "latency_ms": times.median if times else math.nan,
        "latency_low_ms": times.low if times else math.nan,
        "latency_high_ms": times.high if times else math.nan,
        "memory_gb": latency.peak_mib / MIB_PER_GB if latency else math.nan,
        "params_m": latency.parameters_m if latency else math.nan,
    }
    standing = score.standing if score else ""
    return {
        "model": contender.label,
        "size": contender.cell.labels["size"],
        "standing": standing,
        **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
        **({"score_quality": marks.as_json(score)} if score else {}),
        **({"latency_quality": marks.as_json(latency)} if latency else {}),
    }
