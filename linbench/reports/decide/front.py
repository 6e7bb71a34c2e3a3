"""The front of speed against parameters or accuracy, at each resolution: which models no other is ahead of.

A model is behind another that is shown to be faster and no worse in the axis, or at least as fast and shown to be
better in it. Times and scores differ where their 95 % intervals do not overlap; parameters are exact. A place on the
front is stated only where it is shown against each of the others; where an interval overlaps, or a time is in doubt
(``quality``), it is unknown.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from linbench.records import Status
from linbench.reports.decide.comparable_cells import ComparableCell
from linbench.reports.decide.contenders import PARAMETERS, Contender, Excluded, Request, fits, gather


class Answer(StrEnum):
    """Whether a model is on a front."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Standing:
    """A model and whether it is on the front of its resolution.

    reason: Why not, or why that is unknown.  rivals: The models that are ahead, or may be.
    """

    contender: Contender
    answer: Answer
    reason: str = ""
    rivals: tuple[str, ...] = ()


@dataclass(frozen=True)
class SizeFront:
    """The models at one resolution, the fastest first."""

    size: str
    standings: list[Standing]


@dataclass(frozen=True)
class Front:
    """The fronts of a request, from the smallest resolution to the largest.

    times, scores: The conditions that all share, as text.
    """

    request: Request
    sizes: list[SizeFront]
    excluded: list[Excluded]
    times: dict[str, str]
    scores: dict[str, str]


@dataclass(frozen=True)
class FamilyAnswer:
    """Whether some model of a family is on the front at every resolution.

    at: For each resolution the answer, and why.
    """

    family: str
    names: tuple[str, ...]
    answer: Answer
    at: dict[str, tuple[Answer, str]]


def fronts(request: Request, cells: Iterable[ComparableCell]) -> Front:
    """Return the fronts of ``request.metric`` against ``request.axis``; raise AmbiguousRequest as ``gather`` does."""
    known = gather(request, cells)
    excluded = list(known.excluded)
    groups: dict[str, list[Contender]] = {}
    for contender in sorted(known.contenders, key=lambda contender: contender.pixels):
        failed = contender.timed is not None and contender.timed.times is None
        if failed or fits(request, contender, excluded):
            groups.setdefault(contender.cell.labels["size"], []).append(contender)
    sizes = [SizeFront(size, _standings(group, request.axis)) for size, group in groups.items()]
    return Front(request, sizes, excluded, known.times, known.scores)


def answer_for(front: Front, family: str) -> FamilyAnswer | None:
    """Return whether a family is on every front; None where none of its models is in one.

    family: A backbone, or what the names of several begin with: ``vit`` is ``vit-t``, ``vit-s``, ….
    """
    names: list[str] = []
    at: dict[str, tuple[Answer, str]] = {}
    for group in front.sizes:
        members = [standing for standing in group.standings if _belongs(standing.contender, family)]
        names += [standing.contender.label for standing in members]
        at[group.size] = _any(members) if members else (Answer.UNKNOWN, "not measured")
    if not names:
        return None
    answers = [answer for answer, _ in at.values()]
    return FamilyAnswer(family, tuple(dict.fromkeys(names)), _all(answers), at)


def _belongs(contender: Contender, family: str) -> bool:
    backbone = contender.cell.labels["backbone"]
    return backbone == family or backbone.startswith(f"{family}-")


def _any(members: Sequence[Standing]) -> tuple[Answer, str]:
    """Return yes where a member is on the front, no where all are behind, with the reason of the best one."""
    for answer in (Answer.YES, Answer.UNKNOWN, Answer.NO):
        for member in members:
            if member.answer is answer:
                return answer, f"{member.contender.label}{': ' if member.reason else ''}{member.reason}"
    raise ValueError("members is empty")


def _all(answers: Sequence[Answer]) -> Answer:
    return next((answer for answer in (Answer.NO, Answer.UNKNOWN) if answer in answers), Answer.YES)


def _standings(group: Sequence[Contender], axis: str) -> list[Standing]:
    """Return the standing of each model of one resolution."""
    fastest = sorted(group, key=lambda c: (math.isnan(_ms(c)), _ms(c), c.label))
    return [_standing(contender, fastest, axis) for contender in fastest]


def _ms(contender: Contender) -> float:
    return contender.timed.estimate if contender.timed and contender.timed.times else math.nan


def _standing(contender: Contender, group: Sequence[Contender], axis: str) -> Standing:
    """Return whether a model is on the front of its resolution."""
    timed = contender.timed
    if timed is None or timed.times is None:
        status, reason = (timed.status, timed.reason) if timed else ("not measured", "")
        answer = Answer.NO if status == Status.OOM else Answer.UNKNOWN
        return Standing(contender, answer, f"{status}: {reason}" if reason else status)
    if timed.doubt:
        return Standing(contender, Answer.UNKNOWN, timed.doubt)
    if math.isnan(_axis_bounds(contender, axis)[0]):
        return Standing(contender, Answer.UNKNOWN, f"its {axis} or the interval of it is unknown")
    others = [other for other in group if other is not contender and other.timed and other.timed.times]
    verdicts = [(other, is_ahead(other, contender, axis)) for other in others]
    ahead = tuple(other.label for other, verdict in verdicts if verdict)
    if ahead:
        return Standing(contender, Answer.NO, f"behind {ahead[0]}", ahead)
    perhaps = [other for other, verdict in verdicts if verdict is None]
    if not perhaps:
        return Standing(contender, Answer.YES)
    reasons = "; ".join(_open_reason(other, contender) for other in perhaps)
    return Standing(contender, Answer.UNKNOWN, reasons, tuple(other.label for other in perhaps))


def is_ahead(other: Contender, contender: Contender, axis: str) -> bool | None:
    """Return whether ``other`` puts a model behind it; None where that is unknown.

    axis: ``PARAMETERS``, of which fewer are better; or a score, of which more is.
    """
    faster = _is_below(_time_bounds(other), _time_bounds(contender))
    bounds = _axis_bounds(other, axis), _axis_bounds(contender, axis)
    better = _is_below(*bounds)
    if faster is False or better is False:
        return False
    equal = bounds[0] == bounds[1] and bounds[0][0] == bounds[0][1]
    return True if faster and (better or equal) else None


def _is_below(first: tuple[float, float], second: tuple[float, float]) -> bool | None:
    """Return whether one interval is below another; None where they overlap or an end is unknown."""
    if first[1] < second[0]:
        return True
    return False if second[1] < first[0] else None


def _time_bounds(contender: Contender) -> tuple[float, float]:
    """Return the interval of a time; NaN where nothing may be derived from it."""
    timed = contender.timed
    return (math.nan, math.nan) if timed is None or timed.doubt else timed.bounds


def _axis_bounds(contender: Contender, axis: str) -> tuple[float, float]:
    """Return the interval of a model in the axis, the lower the better."""
    if axis == PARAMETERS:
        value = contender.timed.parameters_m if contender.timed else math.nan
        return value, value
    low, high = contender.score.bounds if contender.score else (math.nan, math.nan)
    return -high, -low


def _open_reason(other: Contender, contender: Contender) -> str:
    """Return why it is unknown whether ``other`` puts a model behind it."""
    assert other.timed is not None
    if other.timed.doubt:
        return f"{other.label} may be ahead: {other.timed.doubt}"
    apart = _is_below(_time_bounds(other), _time_bounds(contender)) is not None
    return f"{other.label} may be ahead: {'scores' if apart else 'intervals of speed'} overlap"
