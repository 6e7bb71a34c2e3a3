"""Which backbone under a budget: what fits, what is best of it, and whether the difference is more than noise.

Only what can be ranked is recommended. A latency that is in doubt (few rounds, disturbed, throttled) is listed with
its reason: neither its rank nor whether it is within a limit is known.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from linbench.reports.decide.commands import timing
from linbench.reports.decide.comparable_cells import ComparableCell
from linbench.reports.decide.compare import CellPair, Margins, compare_scores, compare_times
from linbench.reports.decide.contenders import Contender, Excluded, Request, fits, gather
from linbench.reports.decide.speed import SPEEDS

MARGINS = Margins()


@dataclass(frozen=True)
class Rival:
    """A contender that fits, and its comparison with the best one."""

    contender: Contender
    pair: CellPair

    @property
    def is_apart(self) -> bool | None:
        """Whether the intervals of the two do not overlap; None where one is missing."""
        (low, high), (other_low, other_high) = self.pair.first.bounds, self.pair.second.bounds
        if any(map(math.isnan, (low, high, other_low, other_high))):
            return None
        return high < other_low or other_high < low


@dataclass(frozen=True)
class Unranked:
    """A contender whose rank, or whether it fits, is unknown; the reason, and the command that measures it again."""

    contender: Contender
    reason: str
    command: str


@dataclass(frozen=True)
class Recommendation:
    """The answer to a request.

    best: None where nothing fits, or nothing can be ranked.
    rivals: From the runner-up on.
    unranked: In the order of names and sizes.
    times, scores: The conditions that all share, as text.
    """

    request: Request
    best: Contender | None
    rivals: list[Rival]
    unranked: list[Unranked]
    excluded: list[Excluded]
    times: dict[str, str]
    scores: dict[str, str]

    @property
    def ranked(self) -> list[Contender]:
        """The best and the others, in this order."""
        return [*([self.best] if self.best else []), *(rival.contender for rival in self.rivals)]

    @property
    def shown(self) -> list[Contender]:
        """All whose numbers are shown."""
        return [*self.ranked, *(entry.contender for entry in self.unranked)]


def recommend(request: Request, cells: Iterable[ComparableCell]) -> Recommendation:
    """Answer a request; raise AmbiguousRequest where it must name more or there is nothing to choose from."""
    known = gather(request, cells)
    excluded = list(known.excluded)
    fitting = [contender for contender in known.contenders if fits(request, contender, excluded)]
    unranked = [entry for contender in fitting if (entry := _unranked(request, contender, known.times))]
    unranked.sort(key=lambda entry: (entry.contender.label, entry.contender.pixels))
    in_doubt = {id(entry.contender) for entry in unranked}
    sign = 1 if request.metric in SPEEDS else -1
    ranked = [contender for contender in fitting if id(contender) not in in_doubt]
    ranked.sort(key=lambda contender: (sign * contender.cell.estimate, contender.label))
    best = ranked[0] if ranked else None
    return Recommendation(request, best, _rivals(ranked), unranked, excluded, known.times, known.scores)


def _unranked(request: Request, contender: Contender, conditions: Mapping[str, str]) -> Unranked | None:
    """Return the contender with the reason where its rank, or whether it fits, is unknown."""
    cell = contender.timed
    if cell is None or not cell.doubt:
        return None
    unknown = f"unknown whether within {request.latency_ms:g} ms: " if request.latency_ms is not None else ""
    if not unknown and contender.score is not None:
        return None
    return Unranked(contender, unknown + cell.doubt, timing(cell, conditions))


def _rivals(fitting: Sequence[Contender]) -> list[Rival]:
    """Compare every contender with the first."""
    if not fitting:
        return []
    best, rest = fitting[0].cell, fitting[1:]
    pairs = [(best, contender.cell) for contender in rest]
    judged = compare_times(pairs, MARGINS.times) if best.is_timed else compare_scores(pairs, MARGINS.scores)
    return [Rival(contender, pair) for contender, pair in zip(rest, judged, strict=True)]
