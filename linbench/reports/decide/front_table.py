"""Fronts of speed against parameters or accuracy as text, tables and plain values."""

import math
from collections.abc import Iterator
from typing import Any

from linbench.reports.decide import marks
from linbench.reports.decide.commands import timing, with_resolutions
from linbench.reports.decide.contenders import PARAMETERS, Contender, Request
from linbench.reports.decide.front import Answer, FamilyAnswer, Front, SizeFront, Standing
from linbench.reports.decide.recommend_table import describe_conditions, plain_contender
from linbench.reports.render.table import MISSING, Table

PLAIN = "vit"  # the family that is called plain
SENTENCES = {Answer.YES: "Yes", Answer.NO: "No", Answer.UNKNOWN: "That is unknown"}


def describe(front: Front, family: FamilyAnswer | None) -> list[str]:
    """Return lines of text: a warning, the question, its answer, and the answer at each resolution."""
    shown = [standing.contender.timed for group in front.sizes for standing in group.standings]
    warning = marks.headline((cell for cell in shown if cell), front.request.speed.noun)
    lines = [warning] * bool(warning)
    if family is None:
        return lines
    who = "a plain ViT" if family.family == PLAIN else family.family
    named = "" if family.names == (family.family,) else f" ({', '.join(family.names)})"
    where = "at every resolution" if len(family.at) > 1 else f"at {next(iter(family.at))}"
    question = f"Is {who}{named} on the front of {describe_axes(front.request)} {where}? {SENTENCES[family.answer]}."
    return [*lines, question, *_by_size(family)]


def _by_size(family: FamilyAnswer) -> Iterator[str]:
    """Yield a line for each answer with its resolutions, and the reasons."""
    for answer in Answer:
        at = [(size, reason) for size, (given, reason) in family.at.items() if given is answer]
        by_reason: dict[str, list[str]] = {}
        for size, reason in at:
            by_reason.setdefault(reason, []).append(size)
        for reason, sizes in by_reason.items():
            yield f"{', '.join(sizes)}: {answer} ({reason})"


def describe_axes(request: Request) -> str:
    """Return what a front is of: "images_per_s and params_m"."""
    return f"{request.metric} and {request.axis}"


def tables(front: Front) -> list[Table]:
    """Return a table for each resolution, the fastest model first; the last one has the notes."""
    result = [_table(front, group) for group in front.sizes]
    if result:
        last = result[-1]
        result[-1] = Table(last.title, last.columns, last.rows, tuple(_notes(front)))
    return result


def _table(front: Front, group: SizeFront) -> Table:
    request = front.request
    axis = "params\nM" if request.axis == PARAMETERS else f"{request.axis}\n%"
    rows = tuple(_row(standing, request) for standing in group.standings)
    columns = ("model", request.speed.unit, axis, "on the\nfront", "behind, or\nperhaps behind")
    return Table(f"Front of {describe_axes(request)} at {group.size}", columns, rows)


def _row(standing: Standing, request: Request) -> tuple[str, ...]:
    contender = standing.contender
    timed = contender.timed
    speed = marks.format_value(timed, speed=request.speed) if timed and timed.times else timed and timed.status
    return (contender.label, speed or MISSING, _axis(contender, request.axis), standing.answer, _rivals(standing))


def _rivals(standing: Standing) -> str:
    first, *rest = (*standing.rivals, MISSING)
    more = len(rest) - 1
    return f"{first} and {more} more" if more > 0 else first


def _axis(contender: Contender, axis: str) -> str:
    if axis != PARAMETERS:
        return marks.format_value(contender.score) if contender.score else MISSING
    value = contender.timed.parameters_m if contender.timed else math.nan
    return MISSING if math.isnan(value) else f"{value:.3g}"


def _notes(front: Front) -> list[str]:
    """Return the meaning of marks, the conditions, and the rule of the front."""
    shown = [standing.contender for group in front.sizes for standing in group.standings]
    cells = [cell for contender in shown for cell in (contender.score, contender.timed) if cell]
    rule = "another is faster beyond the 95 % intervals and has no more parameters"
    if front.request.axis != PARAMETERS:
        rule = f"another is faster and has a higher {front.request.axis}, both beyond the 95 % intervals"
    return [
        *marks.notes(cells),
        *describe_conditions(front.request.speed, front.times, front.scores, shown),
        f"On the front: shown not to be behind any other that is measured here. Behind: {rule}.",
    ]


def left_out(front: Front, folder: str = "") -> list[str]:
    """Return a line for each model without a place, and the commands that would measure what is missing.

    folder: Of the records, where it is not the default.
    """
    reasons: dict[tuple[str, str], list[str]] = {}
    for entry in front.excluded:
        reasons.setdefault((entry.label, entry.reason), []).append(entry.size)
    commands = [(entry.command, entry.size) for entry in front.excluded if entry.command]
    for group in front.sizes:
        doubtful = [s.contender.timed for s in group.standings if s.contender.timed and s.contender.timed.doubt]
        commands += [(timing(cell, front.times), group.size) for cell in doubtful]
    listed = with_resolutions(sorted(commands), folder)
    return [
        *(["Left out, and why:"] if reasons else []),
        *(f"{label} at {', '.join(sizes)}: {reason}" for (label, reason), sizes in reasons.items()),
        *(["To measure what is missing:"] if listed else []),
        *listed,
    ]


def as_json(front: Front, family: FamilyAnswer | None) -> dict[str, Any]:
    """Return the fronts as plain values; a missing number is None."""
    return {
        "metric": front.request.metric,
        "axis": front.request.axis,
        "question": _plain_question(family) if family else None,
        "sizes": [
            {"size": group.size, "models": [_plain(standing, front.request) for standing in group.standings]}
            for group in front.sizes
        ],
        "excluded": [
            {"label": entry.label, "size": entry.size, "why": entry.reason, "command": entry.command}
            for entry in front.excluded
        ],
        front.request.speed.noun: front.times,
        "scores": front.scores,
    }


def _plain_question(family: FamilyAnswer) -> dict[str, Any]:
    at = {size: {"answer": str(answer), "why": reason} for size, (answer, reason) in family.at.items()}
    return {"family": family.family, "backbones": list(family.names), "answer": str(family.answer), "at": at}


def _plain(standing: Standing, request: Request) -> dict[str, Any]:
    return {
        **plain_contender(standing.contender, request.speed),
        "on_front": str(standing.answer),
        "why": standing.reason,
    }
