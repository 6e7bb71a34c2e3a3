"""Lay out the numbers of a table: a row for each method, a column for each set of conditions.

Numbers that were measured under different conditions never share a column: where a quantity was measured under
several, each set of conditions has its own column, and the heading says what tells them apart.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from linbench.published.numbers import PublishedNumber
from linbench.reports.paper.cell import Measurement, PaperCell, Quantity
from linbench.reports.paper.commands import with_conditions
from linbench.reports.paper.spec import Erratum

#: A condition that may differ within a column: weights that linbench did not train stand beside those of any recipe.
OPTIONAL_CONDITION = "recipe"
#: Conditions whose values explain themselves in a heading.
PLAIN_CONDITIONS = ("preset", "dtype", "protocol", "recipe", "impl")


@dataclass(frozen=True)
class RowNumbers:
    """The numbers of one quantity in one row, before they have a column."""

    row: str
    published: PublishedNumber | None
    measurements: Sequence[Measurement]
    command: str


@dataclass(frozen=True)
class PaperColumn:
    """One quantity under one set of conditions; the heading is unique in its table."""

    heading: str
    conditions: Mapping[str, str]
    cells: Mapping[str, PaperCell]

    @property
    def label(self) -> str:
        """Return the heading in one line."""
        return " ".join(self.heading.split())


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper with the measured numbers of one device.

    name: Of its files.
    descriptions: Descriptive columns: heading, and a text for each row.
    citation: Of the quoted numbers, where they are not of the table of the paper that the title names.
    """

    name: str
    title: str
    rows: tuple[str, ...]
    columns: tuple[PaperColumn, ...]
    descriptions: tuple[tuple[str, Mapping[str, str]], ...] = ()
    errata: tuple[Erratum, ...] = ()
    notes: tuple[str, ...] = ()
    device: str = ""
    citation: str = ""

    @property
    def number(self) -> str:
        """Return what the paper calls it: ``Table 3``."""
        return self.title.split(":")[0]

    def cells(self) -> list[PaperCell]:
        """Return all cells, row by row."""
        return [column.cells[row] for row in self.rows for column in self.columns if row in column.cells]


def columns_by_conditions(
    quantity: Quantity, numbers: Iterable[RowNumbers], always: Sequence[Mapping[str, str]] = ()
) -> list[PaperColumn]:
    """Return the columns of one quantity, one for each set of conditions.

    always: Conditions that have a column even where nothing was measured under them.
    """
    numbers = list(numbers)
    sets = _distinct_conditions([measured.conditions for row in numbers for measured in row.measurements])
    sets += [conditions for conditions in always if not any(_is_subset(conditions, other) for other in sets)]
    sets = sets or [{}]
    sets.sort(key=lambda conditions: [_rank(conditions, always), *conditions.values()])
    columns = []
    for conditions, tag in zip(sets, _tags(sets, always), strict=True):
        heading = f"{quantity.heading}\n{tag}" if tag else quantity.heading
        cells = {row.row: _cell(row, heading, quantity, conditions) for row in numbers}
        columns.append(PaperColumn(heading, conditions, cells))
    return columns


def _distinct_conditions(sets: list[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Return each set of conditions once; one without a recipe only where it fits no other."""
    distinct = [dict(items) for items in dict.fromkeys(tuple(conditions.items()) for conditions in sets)]
    return [
        conditions
        for conditions in distinct
        if not any(conditions != other and _fits(conditions, other) for other in distinct)
    ]


def _fits(conditions: Mapping[str, str], column: Mapping[str, str]) -> bool:
    """Tell whether a number measured under some conditions belongs into a column."""
    if conditions == column:
        return True
    is_free = conditions.get(OPTIONAL_CONDITION) == ""
    return is_free and {**conditions, OPTIONAL_CONDITION: column.get(OPTIONAL_CONDITION)} == column


def _is_subset(part: Mapping[str, str], whole: Mapping[str, str]) -> bool:
    return part.items() <= whole.items()


def _rank(conditions: Mapping[str, str], always: Sequence[Mapping[str, str]]) -> str:
    return str(next((i for i, part in enumerate(always) if _is_subset(part, conditions)), len(always)))


def _tags(sets: list[Mapping[str, str]], always: Sequence[Mapping[str, str]]) -> list[str]:
    """Say what tells the columns apart; conditions that always have a column are named in any case."""
    required = {name for part in always for name in part}
    names = dict.fromkeys(name for conditions in sets for name in conditions)
    distinguishing = [
        name
        for name in names
        if name in required or len({conditions[name] for conditions in sets if conditions.get(name)}) > 1
    ]
    return [
        ", ".join(
            value if name in PLAIN_CONDITIONS else f"{name} {value}"
            for name in distinguishing
            if (value := conditions.get(name))
        )
        for conditions in sets
    ]


def _cell(row: RowNumbers, heading: str, quantity: Quantity, conditions: Mapping[str, str]) -> PaperCell:
    fitting = [measured for measured in row.measurements if _fits(measured.conditions, conditions)]
    measured = min(fitting, key=lambda measured: measured.conditions != conditions, default=None)  # exact before free
    command = with_conditions(row.command, conditions)
    return PaperCell(row.row, " ".join(heading.split()), quantity, row.published, measured, command)
