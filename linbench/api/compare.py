"""``linbench.compare``: whether two sets of results differ, with the verdicts of the command line."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from linbench.api.results import Results, read_records
from linbench.choices import choose
from linbench.groups import expand
from linbench.records import Record
from linbench.reports.decide import compare_table, marks
from linbench.reports.decide.comparable_cells import ComparableCell
from linbench.reports.decide.compare import Comparison, Margins, check_devices, compare_backbones, compare_sides
from linbench.reports.decide.naming import side_names
from linbench.reports.render.table import Table, to_html, to_terminal
from linbench.reports.staleness import present_cells

#: What ``measure`` returned, a results folder, or records.
Compared: TypeAlias = Results | str | Path | Iterable[Record]


@dataclass(frozen=True)
class Verdicts:
    """A comparison. Printed, and shown by a notebook, as the tables of ``linbench compare``."""

    comparison: Comparison

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each pair, and for each cell that was not compared: what ``--json`` prints."""
        return pd.DataFrame(compare_table.as_json(self.comparison))

    def tables(self) -> list[Table]:
        """Return the tables: times, scores, and of three or more models their ranks."""
        return compare_table.tables(self.comparison)

    @property
    def warning(self) -> str:
        """How many times nothing may be derived from, and why; empty where there are none."""
        return marks.headline(self.comparison.compared)

    def __repr__(self) -> str:
        return "\n\n".join([*filter(None, [self.warning]), *(to_terminal(table, 80) for table in self.tables())])

    def _repr_html_(self) -> str:
        return "\n".join(map(to_html, self.tables()))


def compare(
    first: Compared,
    second: Compared | None = None,
    *,
    models: Sequence[str] = (),
    margin: float = 0.02,
    score_margin: float = 0.5,
    across_devices: bool = False,
) -> Verdicts:
    """Test whether ``second`` differs from ``first`` in each cell that both have, as ``linbench compare`` does.

    Each cell gets a verdict on the second side: FASTER, SLOWER, TIE or AMBIGUOUS; scores BETTER or WORSE. Times of
    fewer than three rounds, such as those of modules that live in a process, get none.

    first, second: What ``measure`` returned, results folders, or records.
    models: Compare these of ``first`` alone, each two of them, and leave ``second`` out.
    margin: Times within this fraction count as a tie.  score_margin: Scores within these points count as a tie.
    across_devices: Give ratios between two devices, without verdicts.

    Raises TypeError, and ValueError for sides without times or scores, or of different devices.
    """
    margins = Margins(margin, score_margin)
    if models:
        if second is not None:
            raise TypeError("models: compared within one side; leave the second one out")
        return Verdicts(_compare_models(models, _cells(first, "first"), margins))
    if second is None:
        raise TypeError("compare takes two sides; or one, with models=[…] to compare within it")
    names, sides = _names(first, second), (_cells(first, "first"), _cells(second, "second"))
    if not across_devices:
        check_devices(names, *sides)
    return Verdicts(compare_sides(names, *sides, margins, across_devices))


def _compare_models(models: Sequence[str], cells: Sequence[ComparableCell], margins: Margins) -> Comparison:
    """Compare each two of the models; raises ValueError for fewer than two, and for one without a record."""
    recorded = sorted({cell.labels["backbone"] for cell in cells} - {""})
    names = [choose("models", name, recorded) for name in expand(models, recorded, "models")]
    if len(names) < 2:
        raise ValueError(f"models={list(models)}: give two or more")
    return compare_backbones(names, cells, margins)


def _cells(side: Compared, name: str) -> list[ComparableCell]:
    """Return the cells of a side; what gives none is named in a warning."""
    if isinstance(side, pd.DataFrame):
        raise TypeError(
            f"the {name} side is a frame, which has no rounds to test; give Results or a folder of records"
        )
    records = list(read_records(side) if isinstance(side, str | Path) else _records(side))
    cells, faults = present_cells(records)
    for fault in faults:
        warnings.warn(f"left out: {fault}", stacklevel=3)
    if not cells:
        raise ValueError(f"the {name} side has no record of times or scores")
    return cells


def _records(side: Results | Iterable[Record]) -> Iterable[Record]:
    return side.records if isinstance(side, Results) else side


def _names(first: Compared, second: Compared) -> tuple[str, str]:
    """Return the names of two sides: folders by their last part where that tells them apart."""
    if not isinstance(first, str | Path) or not isinstance(second, str | Path):
        return "first", "second"
    return side_names(Path(first), Path(second))
