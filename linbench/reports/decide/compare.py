"""Two sides, cell by cell: which differ, by how much, and what only one side has."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from linbench.reports.decide.comparable_cells import BACKBONES, DEVICES, TRAININGS, Cell, Side, side
from linbench.reports.statistics.latency_summary import Floats
from linbench.reports.statistics.verdicts import (
    FEWEST_IMAGES,
    SCORES,
    TIMES,
    Difference,
    Judged,
    Verdict,
    judge,
    of_scores,
    of_times,
)

TIME_MARGIN = 0.02  # of a tie, as a share
SCORE_MARGIN = 0.5  # of a tie, in points


@dataclass(frozen=True)
class Pair:
    """One cell on both sides, and what is said of the second beside the first.

    difference: None where the pair could not be tested; ``why`` says for which reason.
    """

    first: Cell
    second: Cell
    difference: Difference | None
    judged: Judged
    why: str


@dataclass(frozen=True)
class Margins:
    """Of a tie: ``times`` as a share, ``scores`` in points."""

    times: float = TIME_MARGIN
    scores: float = SCORE_MARGIN


@dataclass(frozen=True)
class Comparison:
    """names: Of the sides.  times, scores: The pairs of each kind; a correction is over one kind.

    alone: Cells that one side only has, by its name.
    crowded: Cells of which a side has several, so that none is compared, by its name.
    ranked: Whether a verdict may be given, which is not so across devices.
    """

    names: tuple[str, ...]
    times: list[Pair]
    scores: list[Pair]
    margins: Margins
    alone: dict[str, list[Cell]] = field(default_factory=dict)
    crowded: dict[str, list[Cell]] = field(default_factory=dict)
    ranked: bool = True


def of_sides(
    names: tuple[str, str], first: Iterable[Cell], second: Iterable[Cell], margins: Margins, devices: bool = False
) -> Comparison:
    """Each cell of the first side beside the same cell of the second.

    Scores of cells that differ in nothing but the checkpoint are paired where each side has one of them.
    devices: Whether the device is left out of what makes two cells the same; then there is no verdict.
    """
    ignoring = DEVICES if devices else ()
    whole = side(first, ignoring), side(second, ignoring)
    found, alone = _matched(*whole)
    less = [side(left, (*ignoring, *TRAININGS)) for left in alone]
    again, alone = _matched(less[0], less[1])
    made = _compared(names, [*found, *again], margins, ranked=not devices)
    for name, left, *several in zip(names, alone, whole, less, strict=True):
        made.alone[name], made.crowded[name] = left, [cell for each in several for cell in _several(each)]
    return made


def of_backbones(names: Sequence[str], cells: Iterable[Cell], margins: Margins) -> Comparison:
    """Each two of the backbones in every cell that both have, as if two sides."""
    known = list(cells)
    sides = {name: side([cell for cell in known if cell.key.get("backbone") == name], BACKBONES) for name in names}
    found = [pair for one, other in combinations(names, 2) for pair in _matched(sides[one], sides[other])[0]]
    made = _compared(tuple(names), found, margins, ranked=True)
    paired = {id(cell) for pair in found for cell in pair}
    for name, each in sides.items():
        made.alone[name] = [cell for cell in each.cells.values() if id(cell) not in paired]
        made.crowded[name] = _several(each)
    return made


def _matched(first: Side, second: Side) -> tuple[list[tuple[Cell, Cell]], tuple[list[Cell], list[Cell]]]:
    both = [name for name in first.cells if name in second.cells]
    left = tuple(
        [cell for name, cell in each.cells.items() if name not in both and name not in other.crowded]
        for each, other in ((first, second), (second, first))
    )
    return [(first.cells[name], second.cells[name]) for name in both], (left[0], left[1])


def _several(of: Side) -> list[Cell]:
    return [cell for group in of.crowded.values() for cell in group]


def _compared(
    names: tuple[str, ...], pairs: Sequence[tuple[Cell, Cell]], margins: Margins, ranked: bool
) -> Comparison:
    timed = [(a, b) for a, b in pairs if a.timed]
    scored = [(a, b) for a, b in pairs if not a.timed]
    times = [of_times(a.times, b.times, margins.times) if a.times and b.times else None for a, b in timed]
    return Comparison(
        names=names,
        times=_judged(timed, times, TIMES),
        scores=_judged(scored, of_pairs(scored, margins.scores), SCORES),
        margins=margins,
        ranked=ranked,
    )


def _judged(
    pairs: Sequence[tuple[Cell, Cell]], found: Sequence[Difference | None], words: tuple[Verdict, Verdict]
) -> list[Pair]:
    judged = judge(found, words)
    return [
        Pair(a, b, each, said, "" if each else why(a, b))
        for (a, b), each, said in zip(pairs, found, judged, strict=True)
    ]


def of_pairs(pairs: Sequence[tuple[Cell, Cell]], margin: float) -> list[Difference | None]:
    """The difference of each pair of scores; None where they are no means of the same images."""
    shared = [_shared(a, b) for a, b in pairs]
    tested = iter(of_scores([each for each in shared if each is not None], margin))
    return [None if each is None else next(tested) for each in shared]


def _shared(a: Cell, b: Cell) -> tuple[Floats, Floats] | None:
    """The scores of both, image by image; None where they are not of the same images, or of too few."""
    if not a.scores or not b.scores or a.scores.keys() != b.scores.keys() or len(a.scores) < FEWEST_IMAGES:
        return None
    return np.array(list(a.scores.values())), np.array([b.scores[image] for image in a.scores])


def why(a: Cell, b: Cell) -> str:
    """Why a pair could not be tested."""
    if a.status != "ok" or b.status != "ok":
        return a.status if a.status == b.status else f"{a.status} → {b.status}"
    if a.timed:
        return "fewer than 3 rounds" if a.times and b.times else "no times"
    if math.isnan(a.value) or math.isnan(b.value):
        return "no score"
    if not a.scores or not b.scores:
        return "no mean of images"
    return "other images" if a.scores.keys() != b.scores.keys() else f"fewer than {FEWEST_IMAGES} images"
