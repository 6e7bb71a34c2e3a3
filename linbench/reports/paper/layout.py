"""How the numbers of a table of the paper are laid out: a line for each method, a column for each set of conditions.

Numbers that were measured under different conditions never share a column: where a quantity was measured under
several, each has its own column, and the head says what tells them apart.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from linbench.published.numbers import Quoted
from linbench.reports.paper.cell import Cell, Measured, Quantity
from linbench.reports.paper.commands import under
from linbench.reports.paper.evidence import Found

#: Conditions that may differ within a column, as each method has its own.
JOINS_ANY = "recipe"  # weights that no recipe of ours made stand beside those of any


@dataclass(frozen=True)
class Entry:
    """One quantity of one line, before it has a column."""

    row: str
    quoted: Quoted | None
    found: Sequence[Found]
    command: str


@dataclass(frozen=True)
class Column:
    """One quantity under one set of conditions; ``head`` is unique in its table."""

    head: str
    conditions: Mapping[str, str]
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class Fault:
    """What is wrong or unsaid in the paper, as a footnote with the reasoning.

    rows, columns: The labels and the quantities that it hangs on.
    """

    text: str
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    name: Of its files.
    words: Descriptive columns: head, and a text for each row.
    """

    name: str
    title: str
    rows: tuple[str, ...]
    columns: tuple[Column, ...]
    words: tuple[tuple[str, Mapping[str, str]], ...] = ()
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    device: str = ""

    def cells(self) -> list[Cell]:
        """Row by row."""
        return [column.cells[row] for row in self.rows for column in self.columns if row in column.cells]


def columns(quantity: Quantity, entries: Iterable[Entry], always: Sequence[Mapping[str, str]] = ()) -> list[Column]:
    """The columns of one quantity, one for each set of conditions.

    always: Conditions that have a column even where nothing was measured under them.
    """
    entries = list(entries)
    kinds = _kinds([found.conditions for entry in entries for found in entry.found])
    kinds += [empty for empty in always if not any(_within(empty, kind) for kind in kinds)]
    kinds = kinds or [{}]
    kinds.sort(key=lambda kind: [_place(kind, always), *kind.values()])
    tags = _tags(kinds, always)
    made = []
    for kind, tag in zip(kinds, tags, strict=True):
        head = f"{quantity.name}\n{tag}" if tag else quantity.name
        cells = {entry.row: _cell(entry, head, quantity, kind) for entry in entries}
        made.append(Column(head, kind, cells))
    return made


def single(quantity: Quantity, entries: Iterable[Entry]) -> Column:
    """The only column of a quantity that knows no conditions."""
    (column,) = columns(quantity, entries)
    return column


def per_row(rows: Iterable[str], text: Callable[[str], str]) -> Mapping[str, str]:
    """A descriptive column."""
    return {row: text(row) for row in rows}


def _kinds(conditions: list[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The distinct sets of conditions; one without a recipe only where no other has all the rest of it."""
    distinct = [dict(items) for items in dict.fromkeys(tuple(kind.items()) for kind in conditions)]
    return [kind for kind in distinct if not any(kind != other and _joins(kind, other) for other in distinct)]


def _joins(found: Mapping[str, str], column: Mapping[str, str]) -> bool:
    """Whether a number belongs into a column."""
    if found == column:
        return True
    return found.get(JOINS_ANY) == "" and {**found, JOINS_ANY: column.get(JOINS_ANY)} == column


def _within(part: Mapping[str, str], whole: Mapping[str, str]) -> bool:
    return part.items() <= whole.items()


def _place(kind: Mapping[str, str], always: Sequence[Mapping[str, str]]) -> str:
    return str(next((i for i, part in enumerate(always) if _within(part, kind)), len(always)))


def _tags(kinds: list[Mapping[str, str]], always: Sequence[Mapping[str, str]]) -> list[str]:
    """What tells the columns apart; conditions that always have a column are said in any case."""
    said = {name for part in always for name in part}
    names = dict.fromkeys(name for kind in kinds for name in kind)
    telling = [name for name in names if name in said or len({kind[name] for kind in kinds if kind.get(name)}) > 1]
    return [", ".join(_word(name, kind[name]) for name in telling if kind.get(name)) for kind in kinds]


def _word(name: str, value: str) -> str:
    return value if name in ("preset", "dtype", "protocol", "recipe", "impl") else f"{name} {value}"


def _cell(entry: Entry, head: str, quantity: Quantity, kind: Mapping[str, str]) -> Cell:
    fitting = sorted((f for f in entry.found if _joins(f.conditions, kind)), key=lambda f: f.conditions != kind)
    measured: Measured | None = fitting[0].measured if fitting else None
    return Cell(entry.row, " ".join(head.split()), quantity, entry.quoted, measured, under(entry.command, kind))
