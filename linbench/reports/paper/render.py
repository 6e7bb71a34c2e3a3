"""A table of the paper as tables of text: at a glance, and every cell with what is known of it."""

import math
import string
from collections.abc import Sequence
from typing import Any

from linbench.published.numbers import PAPER
from linbench.reports.paper.cell import Cell, Verdict
from linbench.reports.paper.layout import Column, Fault, PaperTable
from linbench.reports.render.table import MISSING, Table

KINDS = {
    "images": "95 %, bootstrap of images",
    "rounds": "95 %, of rounds in fresh processes",
    "samples": "95 % within a process",
    "seeds": "one SD of seeds",
}
SIGNS = "✓ reproduced, ✗ deviates, ◇ other device than the paper's, – not measured."


def glance(table: PaperTable) -> Table:
    """Two lines for each method, as the paper prints them and as measured."""
    heads = [head for head, _ in table.words]
    rows = []
    for row in table.rows:
        words = [text.get(row, "") for _, text in table.words]
        cells = [column.cells.get(row) for column in table.columns]
        label = _marked(row, _marks(table, row=row))
        rows.append((f"{label}, quoted", *words, *(_quoted(cell) for cell in cells)))
        rows.append(("measured", *("" for _ in words), *(_measured(cell) for cell in cells)))
    columns = [_marked(column.head, _marks(table, column=column), line=True) for column in table.columns]
    title = f"{_marked(table.title, _marks(table))}{f'; measured on {table.device}' if table.device else ''}"
    return Table(title, ("", *heads, *columns), tuple(rows), (*_legend(table), *_footnotes(table)))


def every_cell(table: PaperTable) -> Table:
    """A line for each cell: quoted, measured, interval, n, deviation, verdict, and where the measured one is from."""
    commands, sources = commands_of(table), sources_of(table)
    rows = []
    for cell in table.cells():
        found = cell.measured
        rows.append(
            (
                cell.row,
                cell.column,
                cell.quoted_text() or MISSING,
                (cell.quantity.text(found.value) if found.status == "ok" else found.status) if found else MISSING,
                cell.interval_text() or MISSING,
                str(found.n) if found and found.n else MISSING,
                cell.deviation_text() or MISSING,
                str(cell.verdict or "") or MISSING,
                f"source {sources.index(provenance(cell)) + 1}"
                if found
                else f"command {commands.index(cell.command) + 1}",
            )
        )
    heads = ("method", "quantity", "quoted", "measured", "interval", "n", "deviation", "verdict", "from")
    kinds = dict.fromkeys(cell.measured.interval for cell in table.cells() if cell.measured)
    named = [KINDS[kind] for kind in kinds if kind in KINDS]
    notes = [f"interval: {'; '.join(named)}."] if named else []
    notes += [f"source {i}: {text}." for i, text in enumerate(sources, start=1)]
    return Table(f"{table.title.split(':')[0]}, every cell", heads, tuple(rows), tuple(notes))


def sources_of(table: PaperTable) -> list[str]:
    """Where the measured numbers are from, each once."""
    return list(dict.fromkeys(provenance(cell) for cell in table.cells() if cell.measured))


def commands_of(table: PaperTable) -> list[str]:
    """The commands that would measure what is not, each once."""
    return list(dict.fromkeys(cell.command for cell in table.cells() if cell.verdict is Verdict.NOT_MEASURED))


def plain_cells(table: PaperTable) -> list[dict[str, Any]]:
    """Every cell as plain values; what is not known is None."""
    return [
        {
            "table": table.name,
            "method": cell.row,
            "quantity": cell.column,
            "unit": cell.quantity.unit,
            "quoted": cell.quoted.value if cell.quoted else None,
            "quoted_text": cell.quoted_text(),
            "quoted_from": f"{PAPER}, {cell.quoted.source}" if cell.quoted else "",
            "measured": _known(cell.measured.value) if cell.measured else None,
            "low": _known(cell.measured.low) if cell.measured else None,
            "high": _known(cell.measured.high) if cell.measured else None,
            "interval": cell.measured.interval if cell.measured else "none",
            "n": cell.measured.n if cell.measured else 0,
            "status": cell.measured.status if cell.measured else "",
            "deviation": _known(cell.deviation),
            "deviation_text": cell.deviation_text(),
            "band": cell.quantity.band_text() if cell.quoted else "",
            "verdict": str(cell.verdict or ""),
            "device": cell.measured.device if cell.measured else "",
            "provenance": dict(cell.measured.provenance) if cell.measured else {},
            "command": cell.command,
        }
        for cell in table.cells()
    ]


def provenance(cell: Cell) -> str:
    """Where a measured number is from, in a line."""
    if cell.measured is None:
        return ""
    return "; ".join(
        [*filter(None, [cell.measured.device]), *(f"{k} {v}" for k, v in cell.measured.provenance.items())]
    )


def _quoted(cell: Cell | None) -> str:
    return "" if cell is None or cell.quoted is None else cell.quoted.text


def _measured(cell: Cell | None) -> str:
    return "" if cell is None else cell.measured_text() or MISSING


def _legend(table: PaperTable) -> list[str]:
    """What the signs say, and the bands, by quantity."""
    bands: dict[str, list[str]] = {}
    for column in table.columns:
        for cell in list(column.cells.values())[:1]:
            if cell.quoted is not None:
                name = _flat(cell.quantity.name)
                named = bands.setdefault(cell.quantity.band_text(), [])
                named += [name] if name not in named else []
    stated = "; ".join(f"{', '.join(names)}: {band}" for band, names in bands.items())
    return [
        f"quoted: {PAPER}, {table.title.split(':')[0]}. {SIGNS}",
        f"Reproduced is what lies within these bands of the quoted number: {stated}.",
        *_conditions(table.columns),
        *table.notes,
    ]


def _conditions(columns: Sequence[Column]) -> list[str]:
    """What each column was measured under."""
    said: dict[str, list[str]] = {}
    for column in columns:
        measured = any(cell.measured for cell in column.cells.values())
        words = ", ".join(f"{name} {value}" for name, value in column.conditions.items() if value)
        if measured and words:
            said.setdefault(words, []).append(_flat(column.head))
    return [f"{'; '.join(heads)}: {words}." for words, heads in said.items()]


def _footnotes(table: PaperTable) -> list[str]:
    return [f"[{letter}] {fault.text}" for letter, fault in _lettered(table)]


def _lettered(table: PaperTable) -> list[tuple[str, Fault]]:
    return list(zip(string.ascii_lowercase, table.faults, strict=False))


def _marks(table: PaperTable, row: str = "", column: Column | None = None) -> str:
    """The letters of the footnotes on a row; on a column, where they hang on no row; or on the whole table."""
    found = []
    for letter, fault in _lettered(table):
        rows = [name for name in fault.rows if name in table.rows]
        heads = [each.head for each in table.columns if _flat(each.head).startswith(fault.columns)]
        if row:
            here = row in rows
        elif column:
            here = not rows and column.head in heads
        else:
            here = not rows and not heads
        found += [letter] if here else []
    return ",".join(found)


def _flat(head: str) -> str:
    return " ".join(head.split())


def _marked(text: str, marks: str, line: bool = False) -> str:
    return f"{text}{chr(10) if line else ' '}[{marks}]" if marks else text


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
