"""A recommendation as text, tables and plain values."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from linbench.reports.decide import marks
from linbench.reports.decide.commands import with_resolutions
from linbench.reports.decide.comparable_cells import format_size
from linbench.reports.decide.compare_table import describe_test, format_difference
from linbench.reports.decide.contenders import MIB_PER_GB, Contender, Request
from linbench.reports.decide.recommend import MARGINS, Recommendation, Rival
from linbench.reports.decide.speed import SPEEDS, Speed
from linbench.reports.latency.rows import significant
from linbench.reports.render.table import MISSING, Table
from linbench.reports.statistics.verdicts import Verdict

NOTEWORTHY = 1.1  # a rival this many times as fast as the best is mentioned
#: Conditions that the table names.
OF_TIMES = ("device", "preset", "part", "dtype", "threads", "prompts")
OF_SCORES = ("dataset", "split", "protocol", "images", "box_source", "device")


def describe(answer: Recommendation) -> list[str]:
    """Return lines of text: the best, the runner-up with its loss, and whether the loss is more than noise."""
    request = answer.request
    warning = marks.headline((c.timed for c in answer.shown if c.timed), request.speed.noun)
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
    times = answer.best.timed.times if answer.best.timed else None
    if request.latency_ms is not None and times and times.high > request.latency_ms:
        lines.append(f"Its latency may be above the limit: the 95 % interval reaches {times.high:.4g} ms.")
    if answer.rivals:
        second = answer.rivals[0]
        lines.append(f"Runner-up: {_describe(second.contender, request)}; {_describe_loss(second, request.speed)}.")
    else:
        lines.append("There is no runner-up: nothing else fits" + " and can be ranked" * bool(answer.unranked) + ".")
    unranked = [f"Not ranked: {_describe_unranked(answer)}."] if answer.unranked else []
    return [*lines, *_faster_rival(answer), *unranked]


def _describe_unranked(answer: Recommendation) -> str:
    """Return how many contenders cannot be ranked, and why."""
    times = [entry.contender.timed for entry in answer.unranked if entry.contender.timed]
    count = f"{len(answer.unranked)} of {len(answer.shown)} ({'; '.join(marks.doubts(times).values())})"
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
    if (timed := contender.timed) and timed.times:
        speed = request.speed
        interval = "" if timed.doubt else _interval(*speed.bounds(timed))
        parts.append(f"{marks.format_value(timed, speed.unit, speed)}{interval}")
    return ", ".join(parts)


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) else f" ({significant(low)}–{significant(high)})"


def _describe_loss(rival: Rival, speed: Speed) -> str:
    difference = rival.pair.difference
    if difference is None:
        intervals = {
            None: "an interval is missing, so whether they differ is unknown",
            True: "the two intervals do not overlap",
            False: "the two intervals overlap, so no difference is shown",
        }
        return f"there is no paired test ({rival.pair.reason}); {intervals[rival.is_apart]}"
    if rival.contender.cell.is_timed and speed.is_rate:
        value, low, high = (math.exp(-x) for x in (difference.value, difference.high, difference.low))
        loss = f"it has {value:.3g} times the throughput ({low:.3g} to {high:.3g})"
    elif rival.contender.cell.is_timed:
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
    best = answer.best.timed if answer.best else None
    if not best or not best.times or best.doubt or answer.request.metric in SPEEDS:
        return []
    faster = [
        (other.times.median, rival.contender.label)
        for rival in answer.rivals
        if (other := rival.contender.timed) and other.times and not other.doubt and not _may_be_worse(rival)
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
    lines += [(rival.contender, _verdict(rival, answer.request.speed)) for rival in answer.rivals]
    measure = "times\nthe best" if answer.request.metric in SPEEDS else "points from\nthe best"
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
    request = answer.request
    score = (f"{request.score}\n%",) if request.score else ()
    rows = tuple(
        (contender.label, *([contender.cell.labels["size"]] * len(sizes)), *_numbers(contender, request), *further)
        for contender, further in lines
    )
    cells = [cell for contender, _ in lines for cell in (contender.score, contender.timed) if cell]
    timed = request.speed.unit if request.speed.is_rate else "latency\nms"
    columns = ("model", *sizes, *score, timed, "memory\nGB", "params\nM", *heads)
    return Table(title, columns, rows, (*marks.notes(cells), *notes))


def _numbers(contender: Contender, request: Request) -> list[str]:
    timed, score = contender.timed, contender.score
    memory, parameters = (timed.peak_mib / MIB_PER_GB, timed.parameters_m) if timed else (math.nan, math.nan)
    return [
        *([marks.format_value(score)] if score else []),
        marks.format_value(timed, speed=request.speed) if timed and timed.times else MISSING,
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


def _verdict(rival: Rival, speed: Speed) -> tuple[str, str]:
    difference = rival.pair.difference
    if difference is None:
        intervals = {None: "unknown", True: "intervals apart", False: "intervals overlap"}
        return MISSING, intervals[rival.is_apart]
    if not rival.contender.cell.is_timed:
        value, interval = format_difference(rival.pair)
        return f"{value} ({interval})", str(rival.pair.verdict)
    logs = (difference.value, difference.low, difference.high)
    if speed.is_rate:
        logs = (-difference.value, -difference.high, -difference.low)
    value, low, high = (significant(math.exp(x)) for x in logs)
    return f"{value} ({low}–{high})", str(rival.pair.verdict)


def _straddling(answer: Recommendation) -> list[str]:
    """Name the contenders that may be above the limit: their interval reaches beyond it."""
    limit = answer.request.latency_ms
    if limit is None:
        return []
    named = [
        f"{contender.label} at {contender.cell.labels['size']} (to {significant(timed.times.high)} ms)"
        for contender in answer.ranked
        if (timed := contender.timed) and timed.times and timed.times.high > limit
    ]
    return [f"May be above the limit of {limit:g} ms by their 95 % interval: {', '.join(named)}."] if named else []


def describe_conditions(
    speed: Speed, times: Mapping[str, str], scores: Mapping[str, str], shown: Sequence[Contender]
) -> list[str]:
    """Return notes on the conditions that all times and all scores share, and on scores that compare with nothing."""
    notes = []
    for kind, names, values in ((speed.noun.capitalize(), OF_TIMES, times), ("Scores", OF_SCORES, scores)):
        named = [f"{name} {values[name]}" for name in names if values.get(name) not in (None, "none", "0")]
        notes += [f"{kind}: {', '.join(named)}."] if named else []
    standings = sorted({c.score.standing for c in shown if c.score and c.score.standing})
    return [*notes, *(f"These scores compare with nothing published: {standing}." for standing in standings)]


def _conditions(answer: Recommendation) -> list[str]:
    return describe_conditions(answer.request.speed, answer.times, answer.scores, answer.shown)


def _method(answer: Recommendation) -> list[str]:
    tested = sum(rival.pair.difference is not None for rival in answer.rivals)
    test = describe_test(answer.request.metric in SPEEDS, tested, MARGINS)
    measure = (
        "times the best: the ratio" if answer.request.metric in SPEEDS else "points from the best: the difference"
    )
    return [f"{measure} with its 95 % interval; verdict: {test}"] if tested else []


def as_json(answer: Recommendation) -> dict[str, Any]:
    """Return the whole answer as plain values; a missing number is None."""
    speed = answer.request.speed
    return {
        "metric": answer.request.metric,
        "answer": describe(answer),
        "best": plain_contender(answer.best, speed) if answer.best else None,
        "others": [_plain_rival(rival, speed) for rival in answer.rivals],
        "not_ranked": [
            {**plain_contender(entry.contender, speed), "why": entry.reason, "command": entry.command}
            for entry in answer.unranked
        ],
        "excluded": [
            {"label": entry.label, "size": entry.size, "why": entry.reason, "command": entry.command}
            for entry in answer.excluded
        ],
        speed.noun: answer.times,
        "scores": answer.scores,
    }


def _plain_rival(rival: Rival, speed: Speed) -> dict[str, Any]:
    difference, verdict = rival.pair.difference, rival.pair.verdict
    return {
        **plain_contender(rival.contender, speed),
        "difference": difference.value if difference else None,
        "low": difference.low if difference else None,
        "high": difference.high if difference else None,
        "verdict": str(verdict) if verdict else None,
        "intervals_apart": rival.is_apart,
    }


def plain_contender(contender: Contender, speed: Speed) -> dict[str, Any]:
    """Return the numbers of a contender as plain values; a missing number is None."""
    timed, score = contender.timed, contender.score
    is_timed = timed is not None and timed.times is not None
    low, high = speed.bounds(timed) if timed and is_timed else (math.nan, math.nan)
    name, _, unit = speed.metric.partition("_")
    numbers = {
        "score": score.value if score else math.nan,
        speed.metric: speed.value(timed) if timed and is_timed else math.nan,
        f"{name}_low_{unit}": low,
        f"{name}_high_{unit}": high,
        "memory_gb": timed.peak_mib / MIB_PER_GB if timed else math.nan,
        "params_m": timed.parameters_m if timed else math.nan,
    }
    return {
        "model": contender.label,
        "size": contender.cell.labels["size"],
        "standing": score.standing if score else "",
        **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
        **({"score_quality": marks.as_json(score)} if score else {}),
        **({f"{speed.suite}_quality": marks.as_json(timed)} if timed else {}),
    }
