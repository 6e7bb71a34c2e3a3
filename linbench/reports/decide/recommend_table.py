"""The answer to a question in sentences, tables and plain values."""

import math
from typing import Any

from linbench.reports.decide.recommend import LATENCY, MIB_PER_GB, Answer, Beside, Candidate, Question
from linbench.reports.latency.rows import significant
from linbench.reports.render.table import MISSING, Table
from linbench.reports.statistics.verdicts import Verdict

WORTH = 1.1  # times as fast: from here on it is said
SHARED = ("device", "preset", "part", "dtype", "threads", "prompts")
OF_SCORES = ("dataset", "split", "protocol", "images", "box_source", "device")


def sentences(answer: Answer) -> list[str]:
    """The best, the runner-up with how much it loses, and whether that is more than noise."""
    if answer.best is None:
        return [f"Nothing fits {_asked(answer.question)}."]
    found = [f"Best {_asked(answer.question)}: {_described(answer.best, answer)}."]
    limit, times = answer.question.latency_ms, answer.best.latency and answer.best.latency.times
    if limit is not None and times and times.high > limit:
        found.append(f"Its latency may be above the limit: the 95 % interval reaches {times.high:.4g} ms.")
    if not answer.others:
        return [*found, "There is no runner-up: nothing else fits."]
    second = answer.others[0]
    found.append(f"Runner-up: {_described(second.candidate, answer)}; {_loss(second)}.")
    found += _cheaper(answer)
    return found


def _asked(question: Question) -> str:
    limits = [
        f"{question.latency_ms:g} ms" if question.latency_ms is not None else "",
        f"{question.memory_gb:g} GB" if question.memory_gb is not None else "",
        f"{question.params_m:g} M parameters" if question.params_m is not None else "",
    ]
    within = " and ".join(filter(None, limits))
    at = " or ".join(f"{h}²" if h == w else f"{h}×{w}" for h, w in question.sizes)
    return question.metric + (f" at {at}" if at else "") + (f" within {within}" if within else "")


def _described(candidate: Candidate, answer: Answer) -> str:
    where = "" if len(answer.question.sizes) == 1 else f" at {candidate.cell.names['size']}"
    parts = [candidate.label + where]
    if candidate.score:
        parts.append(f"{_score(candidate)} %{_between(candidate.score.low, candidate.score.high)}")
        if candidate.score.standing:
            parts.append(f"COMPARABLE WITH NOTHING PUBLISHED ({candidate.score.standing})")
    times = candidate.latency.times if candidate.latency else None
    if times:
        parts.append(f"{significant(times.median)} ms{_between(times.low, times.high)}")
    return ", ".join(parts)


def _between(low: float, high: float) -> str:
    return "" if math.isnan(low) else f" ({significant(low)}–{significant(high)})"


def _loss(second: Beside) -> str:
    """By how much it loses, and whether that is more than noise."""
    found, timed = second.difference, second.candidate.cell.timed
    if found is None:
        said = "do not overlap" if second.apart else "overlap, so no difference is shown"
        return f"there is no paired test ({second.why}); the two intervals {said}"
    if timed:
        low, value, high = (100 * math.expm1(x) for x in (found.low, found.value, found.high))
        by = f"it takes {value:.1f} % longer ({low:.1f} to {high:.1f})"
        if value > 100:
            by = f"it takes {1 + value / 100:.3g} times as long ({1 + low / 100:.3g} to {1 + high / 100:.3g})"
    else:
        by = f"it loses by {-found.value:.2f} points ({-found.high:.2f} to {-found.low:.2f})"
    return f"{by}: {_words(second.judged.verdict)}"


def _words(verdict: Verdict | None) -> str:
    if verdict is Verdict.TIE:
        return "a tie, shown to be within the margin"
    return "within the uncertainty" if verdict is Verdict.AMBIGUOUS else "more than the uncertainty"


def _cheaper(answer: Answer) -> list[str]:
    """What is not shown to be worse than the best, and clearly faster."""
    times = answer.best.latency.times if answer.best and answer.best.latency else None
    if not times or answer.question.metric == LATENCY:
        return []
    found = [
        (other.candidate.latency.times.median, other.candidate)
        for other in answer.others
        if other.candidate.latency and other.candidate.latency.times and _open(other)
        if times.median >= WORTH * other.candidate.latency.times.median
        and other.candidate.latency.times.high < times.low
    ]
    if not found:
        return []
    ms, candidate = min(found, key=lambda each: each[0])
    return [
        f"Not shown to be worse, and {times.median / ms:.2g} times as fast: {candidate.label}, {significant(ms)} ms."
    ]


def _open(other: Beside) -> bool:
    if other.difference is None:
        return not other.apart
    return other.judged.verdict in (Verdict.TIE, Verdict.AMBIGUOUS)


def tables(answer: Answer) -> list[Table]:
    """What fits, from the best on; none where nothing does."""
    question = answer.question
    lines = []
    if answer.best:
        lines = [_line(answer.best, ("", "best")), *(_line(o.candidate, _verdict(o)) for o in answer.others)]
    score = () if question.metric == LATENCY else (f"{question.metric}\n%",)
    heads = ("model", "size", *score, "latency\nms", "memory\nGB", "params\nM", "beside\nthe best", "verdict")
    notes = [*_conditions(answer), *_methods(answer)]
    return [Table(f"What fits {_asked(question)}", heads, tuple(lines), tuple(notes))] if lines else []


def left_out(answer: Answer) -> list[str]:
    """A line for each model and why it does not count, and the commands that would measure what lacks."""
    order = sorted(answer.excluded, key=lambda each: (each.label, len(each.size), each.size))
    groups: dict[tuple[str, str], list[str]] = {}
    for each in order:
        groups.setdefault((each.label, each.why), []).append(each.size)
    found = [f"{label} at {', '.join(sizes)}: {why}" for (label, why), sizes in groups.items()]
    lacking: dict[str, list[str]] = {}
    for each in order:
        if each.command:
            lacking.setdefault(each.command, []).append(each.size.rstrip("²").replace("×", "x"))
    return [
        *(["What does not count, and why:", *found] if found else []),
        *(["What would measure what lacks:"] if lacking else []),
        *(f"{command} --res {','.join(sizes)}" for command, sizes in lacking.items()),
    ]


def _line(candidate: Candidate, beside: tuple[str, str]) -> tuple[str, ...]:
    cell = candidate.latency
    score = (_score(candidate),) if candidate.score else ()
    memory = cell.peak_mib / MIB_PER_GB if cell else math.nan
    return (
        candidate.label,
        candidate.cell.names["size"],
        *score,
        significant(cell.times.median) if cell and cell.times else MISSING,
        *(MISSING if math.isnan(x) else f"{x:.3g}" for x in (memory, cell.parameters_m if cell else math.nan)),
        *beside,
    )


def _score(candidate: Candidate) -> str:
    return f"{candidate.score.value:.2f}" if candidate.score else ""


def _verdict(other: Beside) -> tuple[str, str]:
    found = other.difference
    if found is None:
        return MISSING, "intervals apart" if other.apart else "intervals overlap"
    said = str(other.judged.verdict)
    if other.candidate.cell.timed:
        return f"× {math.exp(found.value):.3f} ({math.exp(found.low):.3f}–{math.exp(found.high):.3f})", said
    return f"{found.value:+.2f} ({found.low:+.2f} to {found.high:+.2f})", said


def _conditions(answer: Answer) -> list[str]:
    notes = []
    for what, shown, found in (("Latencies", SHARED, answer.latencies), ("Scores", OF_SCORES, answer.scores)):
        told = [f"{name} {found[name]}" for name in shown if found.get(name) not in (None, "none", "0")]
        notes += [f"{what}: {', '.join(told)}."] if told else []
    marked = {other.standing for c in _all(answer) if (other := c.score) and other.standing}
    return [*notes, *(f"These scores compare with nothing published: {said}." for said in sorted(marked))]


def _methods(answer: Answer) -> list[str]:
    tested = [other for other in answer.others if other.difference]
    if not tested:
        return []
    if answer.question.metric == LATENCY:
        how, margin = "Welch's test on the logarithms of the rounds' medians", "2 %"
    else:
        how, margin = "bootstrap over the images, each drawn for both at once", "0.5 points"
    return [
        f"beside the best: the difference with its 95 % interval; verdict by {how}, corrected by Holm over "
        f"the {len(tested)} beside the best; TIE: shown to be within ±{margin}; AMBIGUOUS: neither is shown."
    ]


def _all(answer: Answer) -> list[Candidate]:
    return [*([answer.best] if answer.best else []), *(other.candidate for other in answer.others)]


def as_json(answer: Answer) -> dict[str, Any]:
    """The whole answer as plain values; a missing number is None."""
    others = [
        {
            **_plain(other.candidate),
            "difference": other.difference.value if other.difference else None,
            "low": other.difference.low if other.difference else None,
            "high": other.difference.high if other.difference else None,
            "verdict": str(other.judged.verdict) if other.judged.verdict else None,
            "intervals_apart": other.apart,
        }
        for other in answer.others
    ]
    return {
        "metric": answer.question.metric,
        "answer": sentences(answer),
        "best": _plain(answer.best) if answer.best else None,
        "others": others,
        "excluded": [vars(each) for each in answer.excluded],
        "latencies": answer.latencies,
        "scores": answer.scores,
    }


def _plain(candidate: Candidate) -> dict[str, Any]:
    cell, times = candidate.latency, candidate.latency.times if candidate.latency else None
    numbers = {
        "score": candidate.score.value if candidate.score else math.nan,
        "latency_ms": times.median if times else math.nan,
        "latency_low_ms": times.low if times else math.nan,
        "latency_high_ms": times.high if times else math.nan,
        "memory_gb": cell.peak_mib / MIB_PER_GB if cell else math.nan,
        "params_m": cell.parameters_m if cell else math.nan,
    }
    standing = candidate.score.standing if candidate.score else ""
    named = {"model": candidate.label, "size": candidate.cell.names["size"], "standing": standing}
    return {**named, **{name: value if math.isfinite(value) else None for name, value in numbers.items()}}
