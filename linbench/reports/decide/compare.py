"""Two sides, cell by cell: which differ, by how much, and which cells only one side has."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from linbench.reports.decide.comparable_cells import BACKBONES, DEVICES, TRAININGS, ComparableCell, Side, group_cells
from linbench.reports.statistics.latency_summary import Floats
from linbench.reports.statistics.verdicts import (
    FEWEST_IMAGES,
    SCORES,
    TIMES,
    Difference,
    Judgement,
    Verdict,
    judge,
    score_differences,
    time_difference,
)


@dataclass(frozen=True)
class CellPair:
    """One cell on both sides, and the judgement on the second relative to the first.

    difference: None where the pair could not be tested; then ``reason`` tells why.
    """

    first: ComparableCell
    second: ComparableCell
    difference: Difference | None
    judgement: Judgement
    reason: str

    @property
    def verdict(self) -> Verdict | None:
        """The verdict, None where the pair could not be tested."""
        return self.judgement.verdict

    @property
    def in_doubt(self) -> bool:
        """Whether both have times, and one of them is such that nothing may be derived from it."""
        return bool(self.first.times and self.second.times and (self.first.doubt or self.second.doubt))


@dataclass(frozen=True)
class Margins:
    """Differences that count as a tie: of times as a fraction, of scores in points."""

    times: float = 0.02
    scores: float = 0.5


@dataclass(frozen=True)
class Comparison:
    """The compared pairs of times and of scores, each kind corrected on its own.

    names: The two sides, or the backbones.
    unmatched: Cells of one side only, by its name.
    duplicates: Cells that a side has several times, so that none is compared, by its name.
    is_ranked: Whether verdicts are given; across devices there are none.
    """

    names: tuple[str, ...]
    times: list[CellPair]
    scores: list[CellPair]
    margins: Margins
    unmatched: dict[str, list[ComparableCell]] = field(default_factory=dict)
    duplicates: dict[str, list[ComparableCell]] = field(default_factory=dict)
    is_ranked: bool = True

    @property
    def compared(self) -> list[ComparableCell]:
        """The cells of all pairs, each once."""
        cells = (cell for pair in (*self.times, *self.scores) for cell in (pair.first, pair.second))
        return list({id(cell): cell for cell in cells}.values())


def compare_sides(
    names: tuple[str, str],
    first: Iterable[ComparableCell],
    second: Iterable[ComparableCell],
    margins: Margins,
    across_devices: bool = False,
) -> Comparison:
    """Compare each cell of the first side with the same cell of the second.

    Scores of cells that differ in nothing but the checkpoint are paired where each side has one of them.
    across_devices: Whether the device is ignored; then there is no verdict.
    """
    ignored = DEVICES if across_devices else ()
    exact = group_cells(first, ignored), group_cells(second, ignored)
    pairs, unmatched = _match(*exact)
    retrained = [group_cells(cells, (*ignored, *TRAININGS)) for cells in unmatched]
    more_pairs, unmatched = _match(retrained[0], retrained[1])
    result = _compare(names, [*pairs, *more_pairs], margins, is_ranked=not across_devices)
    for name, cells, *sides in zip(names, unmatched, exact, retrained, strict=True):
        result.unmatched[name] = cells
        result.duplicates[name] = [cell for side in sides for cell in side.all_duplicates]
    return result


def check_devices(names: tuple[str, str], first: Iterable[ComparableCell], second: Iterable[ComparableCell]) -> None:
    """Raise ValueError where two sides have no device in common: their times are never ranked."""
    devices = [sorted({cell.labels["device"] for cell in side}) for side in (first, second)]
    if not set(devices[0]) & set(devices[1]):
        listed = " and ".join(f"{name} of {', '.join(d)}" for name, d in zip(names, devices, strict=True))
        raise ValueError(
            f"results of different devices are never ranked: {listed}; --across-devices (from Python "
            "across_devices=True) shows only their ratios"
        )


def compare_backbones(names: Sequence[str], cells: Iterable[ComparableCell], margins: Margins) -> Comparison:
    """Compare each two of the backbones in every cell that both have."""
    known = list(cells)
    sides = {n: group_cells([cell for cell in known if cell.key.get("backbone") == n], BACKBONES) for n in names}
    pairs = [pair for a, b in combinations(names, 2) for pair in _match(sides[a], sides[b])[0]]
    result = _compare(tuple(names), pairs, margins, is_ranked=True)
    paired = {id(cell) for pair in pairs for cell in pair}
    for name, side in sides.items():
        result.unmatched[name] = [cell for cell in side.cells.values() if id(cell) not in paired]
        result.duplicates[name] = side.all_duplicates
    return result


Cells = list[ComparableCell]
Pairs = Sequence[tuple[ComparableCell, ComparableCell]]


def _match(first: Side, second: Side) -> tuple[Pairs, tuple[Cells, Cells]]:
    """Return the pairs of equal identity, and the cells of each side that the other does not have."""

    def only(side: Side, other: Side) -> Cells:
        known = {*other.cells, *other.duplicates}
        return [cell for name, cell in side.cells.items() if name not in known]

    pairs = [(cell, second.cells[name]) for name, cell in first.cells.items() if name in second.cells]
    return pairs, (only(first, second), only(second, first))


def _compare(names: tuple[str, ...], pairs: Pairs, margins: Margins, is_ranked: bool) -> Comparison:
    times = compare_times([(a, b) for a, b in pairs if a.is_timed], margins.times)
    scores = compare_scores([(a, b) for a, b in pairs if not a.is_timed], margins.scores)
    return Comparison(names, times, scores, margins, is_ranked=is_ranked)


def compare_times(pairs: Pairs, margin: float) -> list[CellPair]:
    """Test pairs of timed cells together, without those that are in doubt; ``margin`` is a fraction."""
    differences = [
        time_difference(a.times, b.times, margin) if a.times and b.times and not (a.doubt or b.doubt) else None
        for a, b in pairs
    ]
    return _judge(pairs, differences, TIMES)


def compare_scores(pairs: Pairs, margin: float) -> list[CellPair]:
    """Test pairs of scores together; those that are not means over the same images are untested."""
    images = [_common_images(a, b) for a, b in pairs]
    tested = iter(score_differences([scores for scores in images if scores is not None], margin))
    return _judge(pairs, [None if scores is None else next(tested) for scores in images], SCORES)


def _judge(pairs: Pairs, differences: Sequence[Difference | None], signs: tuple[Verdict, Verdict]) -> list[CellPair]:
    judged = zip(pairs, differences, judge(differences, signs), strict=True)
    return [CellPair(a, b, d, judgement, "" if d else _why_untested(a, b)) for (a, b), d, judgement in judged]


def _common_images(a: ComparableCell, b: ComparableCell) -> tuple[Floats, Floats] | None:
    """Return both scores, image by image; None where they are of other images, or of too few."""
    if not a.scores or not b.scores or a.scores.keys() != b.scores.keys() or len(a.scores) < FEWEST_IMAGES:
        return None
    return np.array(list(a.scores.values())), np.array([b.scores[image] for image in a.scores])


def _why_untested(a: ComparableCell, b: ComparableCell) -> str:
    if a.status != "ok" or b.status != "ok":
        return a.status if a.status == b.status else f"{a.status} → {b.status}"
    if a.is_timed:
        return "; ".join(dict.fromkeys(filter(None, (a.doubt, b.doubt)))) if a.times and b.times else "no times"
    if math.isnan(a.value) or math.isnan(b.value):
        return "no score"
    if not a.scores or not b.scores:
        return "no mean of images"
    return "other images" if a.scores.keys() != b.scores.keys() else f"fewer than {FEWEST_IMAGES} images"
