"""A recommendation as text, tables and plain values."""

import math
from typing import Any

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
    if answer.best is None:
        return [f"Nothing fits {_describe_request(request)}."]
    lines = [f"Best {_describe_request(request)}: {_describe(answer.best, request)}."]
    times = answer.best.latency.times if answer.best.latency else None
    if request.latency_ms is not None and times and times.high > request.latency_ms:
        lines.append(f"Its latency may be above the limit: the 95 % interval reaches {times.high:.4g} ms.")
    if not answer.rivals:
        return [*lines, "There is no runner-up: nothing else fits."]
    second = answer.rivals[0]
    lines.append(f"Runner-up: {_describe(second.contender, request)}; {_describe_loss(second)}.")
    return [*lines, *_faster_rival(answer)]


def _describe_request(request: Request) -> str:
    limits = ((request.latency_ms, "ms"), (request.memory_gb, "GB"), (request.params_m, "M parameters"))
    within = " and ".join(f"{limit:g} {unit}" for limit, unit in limits if limit is not None)
    sizes = " or ".join(format_size(h, w) for h, w in request.sizes)
    return request.metric + (f" at {sizes}" if sizes else "") + (f" within {within}" if within else "")


def _describe(contender: Contender, request: Request) -> str:
    size = "" if len(request.sizes) == 1 else f" at {contender.cell.labels['size']}"
    parts = [contender.label + size]
    if score := contender.score:
        parts.append(f"{score.value:.2f} %{_interval(score.low, score.high)}")
        if score.standing:
            parts.append(f"COMPARABLE WITH NOTHING PUBLISHED ({score.standing})")
    if contender.latency and (times := contender.latency.times):
        parts.append(f"{significant(times.median)} ms{_interval(times.low, times.high)}")
    return ", ".join(parts)


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) else f" ({significant(low)}–{significant(high)})"


def _describe_loss(rival: Rival) -> str:
    difference = rival.pair.difference
    if difference is None:
        intervals = "do not overlap" if rival.is_apart else "overlap, so no difference is shown"
        return f"there is no paired test ({rival.pair.reason}); the two intervals {intervals}"
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
    times = answer.best.latency.times if answer.best and answer.best.latency else None
    if not times or answer.request.metric == LATENCY:
        return []
    faster = [
        (other.median, rival.contender.label)
        for rival in answer.rivals
        if not _is_worse(rival) and rival.contender.latency and (other := rival.contender.latency.times)
        if times.median >= NOTEWORTHY * other.median and other.high < times.low
    ]
    if not faster:
        return []
    ms, label = min(faster, key=lambda entry: entry[0])
    return [f"Not shown to be worse, and {times.median / ms:.2g} times as fast: {label}, {significant(ms)} ms."]


def _is_worse(rival: Rival) -> bool:
    if rival.pair.difference is None:
        return rival.is_apart
    return rival.pair.verdict not in (Verdict.TIE, Verdict.AMBIGUOUS)


def tables(answer: Recommendation) -> list[Table]:
    """Return one table of all that fits, best first; none where nothing fits."""
    request = answer.request
    if not answer.best:
        return []
    lines = [_line(answer.best, ("", "best")), *(_line(rival.contender, _verdict(rival)) for rival in answer.rivals)]
    score = () if request.metric == LATENCY else (f"{request.metric}\n%",)
    heads = ("model", "size", *score, "latency\nms", "memory\nGB", "params\nM", "vs.\nthe best", "verdict")
    notes = (*_conditions(answer), *_method(answer))
    return [Table(f"What fits {_describe_request(request)}", heads, tuple(lines), notes)]


def left_out(answer: Recommendation) -> list[str]:
    """Return a line for each excluded model with the reason, and the commands that would measure what is missing."""
    reasons: dict[tuple[str, str], list[str]] = {}
    commands: dict[str, list[str]] = {}
    for entry in sorted(answer.excluded, key=lambda entry: (entry.label, len(entry.size), entry.size)):
        reasons.setdefault((entry.label, entry.reason), []).append(entry.size)
        if entry.command:
            commands.setdefault(entry.command, []).append(entry.size.rstrip("²").replace("×", "x"))
    return [
        *(["Left out, and why:"] if reasons else []),
        *(f"{label} at {', '.join(sizes)}: {reason}" for (label, reason), sizes in reasons.items()),
        *(["To measure what is missing:"] if commands else []),
        *(f"{command} --res {','.join(sizes)}" for command, sizes in commands.items()),
    ]


def _line(contender: Contender, comparison: tuple[str, str]) -> tuple[str, ...]:
    latency, score = contender.latency, contender.score
    memory, parameters = (latency.peak_mib / MIB_PER_GB, latency.parameters_m) if latency else (math.nan, math.nan)
    return (
        contender.label,
        contender.cell.labels["size"],
        *([f"{score.value:.2f}"] if score else []),
        significant(latency.times.median) if latency and latency.times else MISSING,
        *(MISSING if math.isnan(value) else f"{value:.3g}" for value in (memory, parameters)),
        *comparison,
    )


def _verdict(rival: Rival) -> tuple[str, str]:
    if rival.pair.difference is None:
        return MISSING, "intervals apart" if rival.is_apart else "intervals overlap"
    value, interval = format_difference(rival.pair)
    return f"{'× ' * rival.contender.cell.is_timed}{value} ({interval})", str(rival.pair.verdict)


def _conditions(answer: Recommendation) -> list[str]:
    notes = []
    for kind, names, values in (
        ("Latencies", OF_LATENCIES, answer.latencies),
        ("Scores", OF_SCORES, answer.scores),
    ):
        named = [f"{name} {values[name]}" for name in names if values.get(name) not in (None, "none", "0")]
        notes += [f"{kind}: {', '.join(named)}."] if named else []
    contenders = [*([answer.best] if answer.best else []), *(rival.contender for rival in answer.rivals)]
    standings = sorted({c.score.standing for c in contenders if c.score and c.score.standing})
    return [*notes, *(f"These scores compare with nothing published: {standing}." for standing in standings)]


def _method(answer: Recommendation) -> list[str]:
    tested = sum(rival.pair.difference is not None for rival in answer.rivals)
    test = describe_test(answer.request.metric == LATENCY, tested, MARGINS)
    return [f"vs. the best: the difference with its 95 % interval; verdict: {test}"] if tested else []


def as_json(answer: Recommendation) -> dict[str, Any]:
    """Return the whole answer as plain values; a missing number is None."""
    return {
        "metric": answer.request.metric,
        "answer": describe(answer),
        "best": _plain(answer.best) if answer.best else None,
        "others": [_plain_rival(rival) for rival in answer.rivals],
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
    labels = {"model": contender.label, "size": contender.cell.labels["size"], "standing": standing}
    return {**labels, **{name: value if math.isfinite(value) else None for name, value in numbers.items()}}
