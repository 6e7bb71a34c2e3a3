"""The ranks of three and more backbones, in each cell in which they are compared."""

import math
from collections.abc import Sequence

from linbench.reports.decide import marks
from linbench.reports.decide.comparable_cells import BACKBONES, identity
from linbench.reports.decide.compare import CellPair, Comparison
from linbench.reports.decide.naming import distinguishing, order
from linbench.reports.render.table import MISSING, Table
from linbench.reports.statistics.verdicts import Verdict

WINNING, LOSING = (Verdict.FASTER, Verdict.BETTER), (Verdict.SLOWER, Verdict.WORSE)
RANKS = (
    "rank: one more than the number of backbones that are shown to be better; equal ranks do not mean equal results."
)


def rankings(comparison: Comparison) -> list[Table]:
    """Rank three and more backbones, a line for each, in the cells in which they are compared, a column for each."""
    if len(comparison.names) < 3:
        return []
    result = []
    for title, pairs in (("times", comparison.times), ("scores", comparison.scores)):
        groups: dict[str, list[CellPair]] = {}
        for pair in pairs:
            groups.setdefault(identity(pair.first.key, BACKBONES), []).append(pair)
        names = distinguishing([cell for pair in pairs for cell in (pair.first, pair.second)], comparison)[0]
        ordered = sorted(groups.values(), key=lambda group: [order(group[0].first, name) for name in names])
        heads = [" ".join(group[0].first.labels[name] for name in names) or "rank" for group in ordered]
        columns = [_ranking(group) for group in ordered]
        lines = [(name, *(column.get(name, MISSING) for column in columns)) for name in comparison.names]
        if pairs:
            table = Table(f"Ranking of {title}", ("backbone", *heads), tuple(lines), (RANKS, *_not_ranked(pairs)))
            result.append(table)
    return result


def _ranking(pairs: Sequence[CellPair]) -> dict[str, str]:
    """Return the rank of each backbone of one cell; for one without, its status, or its marks."""
    cells = {cell.labels["backbone"]: cell for pair in pairs for cell in (pair.first, pair.second)}
    known = ranks(pairs)
    doubts = {name: "".join(marks.doubts([cell])) for name, cell in cells.items()}
    return {
        name: cell.status if math.isnan(cell.estimate) else str(known.get(name, MISSING + doubts[name]))
        for name, cell in cells.items()
    }


def ranks(pairs: Sequence[CellPair]) -> dict[str, int]:
    """Return the ranks of backbones in one cell: one more than the number of those that are shown to be better.

    pairs: Each two of the backbones. One that is tested with no other has no rank, and none has where two of the
        others are not tested with each other.
    """
    sides = [(pair, pair.first.labels["backbone"], pair.second.labels["backbone"]) for pair in pairs]
    tested = dict.fromkeys(name for pair, *both in sides if pair.difference for name in both)
    if any(pair.difference is None for pair, *both in sides if tested.keys() >= {*both}):
        return {}
    worse = [b if pair.verdict in LOSING else a for pair, a, b in sides if pair.verdict in (*WINNING, *LOSING)]
    return {name: 1 + worse.count(name) for name in tested}


def _not_ranked(pairs: Sequence[CellPair]) -> list[str]:
    """Return notes on why cells have no rank."""
    doubts = marks.doubts(cell for pair in pairs for cell in (pair.first, pair.second))
    untested = dict.fromkeys(pair.reason for pair in pairs if not pair.first.is_timed and not pair.difference)
    return [
        *(f"{MISSING}{mark} not ranked: {meaning}." for mark, meaning in doubts.items()),
        *(f"{MISSING} not ranked: {reason}." for reason in untested),
    ]
