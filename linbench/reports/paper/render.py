"""Render a table of the paper as tables of text: at a glance, and cell by cell with all that is known."""

import math
import string
from collections.abc import Sequence
from typing import Any

from linbench.published.numbers import PAPER
from linbench.reports.accuracy.table import FEW_IMAGES, FEW_IMAGES_NOTE, FEWEST_IMAGES
from linbench.reports.paper.cell import Measurement, PaperCell, PaperVerdict
from linbench.reports.paper.layout import PaperColumn, PaperTable
from linbench.reports.paper.spec import Erratum
from linbench.reports.render.table import MISSING, Table

INTERVALS = {
    "images": "95 %, bootstrap of images",
    "rounds": "95 %, of rounds in fresh processes",
    "samples": "95 % within a process",
    "seeds": "one standard deviation over seeds",
}
LEGEND = "✓ reproduced, ✗ deviates, ◇ other device than the paper's, – not measured."
CELL_HEADINGS = ("method", "quantity", "quoted", "measured", "interval", "n", "deviation", "verdict", "from")


def glance(table: PaperTable) -> Table:
    """Render two lines for each method: as the paper prints it, and as measured."""
    rows = []
    for row in table.rows:
        texts = [text.get(row, "") for _, text in table.descriptions]
        cells = [column.cells.get(row) for column in table.columns]
        label = _marked(row, _row_marks(table, row))
        rows.append((f"{label}, quoted", *texts, *(cell.published_label() if cell else "" for cell in cells)))
        rows.append(("measured", *("" for _ in texts), *(_measured(cell) for cell in cells)))
    headings = [_marked(column.heading, _column_marks(table, column), "\n") for column in table.columns]
    is_measured = any(cell.measured and cell.measured.device for cell in table.cells())
    device = f"; measured on {table.device}" if is_measured else ""
    return Table(
        f"{_marked(table.title, _title_marks(table))}{device}",
        ("", *(heading for heading, _ in table.descriptions), *headings),
        tuple(rows),
        (*_legend(table), *(f"[{letter}] {erratum.text}" for letter, erratum in _lettered(table))),
    )


def every_cell(table: PaperTable) -> Table:
    """Render a line for each cell: published, measured, interval, n, deviation, verdict, and where it is from."""
    commands, sources = commands_of(table), sources_of(table)
    rows = []
    for cell in table.cells():
        measured = cell.measured
        origin = (
            f"source {sources.index(provenance(cell)) + 1}"
            if measured
            else f"command {commands.index(cell.command) + 1}"
        )
        texts = (
            cell.row,
            cell.column,
            cell.published_label(),
            cell.value_text(),
            cell.interval_text(),
            images_text(measured) if measured else "",
            cell.deviation_text(),
            str(cell.verdict or ""),
            origin,
        )
        rows.append(tuple(text or MISSING for text in texts))
    intervals = dict.fromkeys(cell.measured.interval for cell in table.cells() if cell.measured)
    legend = "; ".join(INTERVALS[interval] for interval in intervals if interval in INTERVALS)
    notes = [f"interval: {legend}."] if legend else []
    if any(cell.measured and images_text(cell.measured).endswith(FEW_IMAGES) for cell in table.cells()):
        notes.append(FEW_IMAGES_NOTE)
    notes += [f"source {i}: {text}." for i, text in enumerate(sources, start=1)]
    return Table(f"{table.number}, every cell", CELL_HEADINGS, tuple(rows), tuple(notes))


def images_text(measured: Measurement) -> str:
    """Return the number behind an interval, marked where it is of few images."""
    few = FEW_IMAGES if measured.interval == "images" and measured.n < FEWEST_IMAGES else ""
    return f"{measured.n}{few}" if measured.n else ""


def sources_of(table: PaperTable) -> list[str]:
    """Return where the measured numbers are from, each source once."""
    return list(dict.fromkeys(provenance(cell) for cell in table.cells() if cell.measured))


def commands_of(table: PaperTable) -> list[str]:
    """Return the commands that would measure what is not measured, each once."""
    missing = (cell for cell in table.cells() if cell.verdict is PaperVerdict.NOT_MEASURED)
    return list(dict.fromkeys(cell.command for cell in missing))


def plain_cells(table: PaperTable) -> list[dict[str, Any]]:
    """Return every cell as plain values; None where something is unknown."""
    return [
        {
            "table": table.name,
            "method": cell.row,
            "quantity": cell.column,
            "unit": cell.quantity.unit,
            "quoted": cell.published.value if cell.published else None,
            "quoted_text": cell.published_text(),
            "quoted_from": cell.published.citation if cell.published else "",
            "measured": _finite(cell.measured.value) if cell.measured else None,
            "low": _finite(cell.measured.low) if cell.measured else None,
            "high": _finite(cell.measured.high) if cell.measured else None,
            "interval": cell.measured.interval if cell.measured else "none",
            "n": cell.measured.n if cell.measured else 0,
            "status": cell.measured.status if cell.measured else "",
            "deviation": _finite(cell.deviation),
            "deviation_text": cell.deviation_text(),
            "band": cell.quantity.format_band() if cell.published else "",
            "verdict": str(cell.verdict or ""),
            "doubt": cell.measured.doubt if cell.measured else "",
            "device": cell.measured.device if cell.measured else "",
            "provenance": dict(cell.measured.provenance) if cell.measured else {},
            "command": cell.command,
        }
        for cell in table.cells()
    ]


def provenance(cell: PaperCell) -> str:
    """Return where a measured number is from, in one line."""
    if cell.measured is None:
        return ""
    entries = [f"{name} {value}" for name, value in cell.measured.provenance.items()]
    return "; ".join([*filter(None, [cell.measured.device]), *entries])


def _measured(cell: PaperCell | None) -> str:
    return "" if cell is None else cell.measured_text() or MISSING


def _legend(table: PaperTable) -> list[str]:
    """Explain the signs, the bands of each quantity and the conditions of each column."""
    bands: dict[str, dict[str, None]] = {}
    for column in table.columns:
        cell = next(iter(column.cells.values()), None)
        if cell and cell.published:
            name = " ".join(cell.quantity.heading.split())
            bands.setdefault(cell.quantity.format_band(), {})[name] = None
    stated = "; ".join(f"{', '.join(names)}: {band}" for band, names in bands.items())
    return [
        f"quoted: {table.citation or f'{PAPER}, {table.number}'}. {LEGEND}",
        f"A number is reproduced where it lies within these bands of the quoted one: {stated}.",
        *_doubts(table),
        *_conditions(table.columns),
        *table.notes,
    ]


def _doubts(table: PaperTable) -> list[str]:
    """Say why rates have no deviation and no verdict, each reason once."""
    reasons: dict[tuple[str, str], None] = {}
    for cell in table.cells():
        if cell.measured and cell.measured.quality and cell.measured.doubt:
            reasons[cell.measured.quality.suffix, cell.measured.doubt] = None
    return [f"{marks}: not judged: {reason}." for marks, reason in reasons]


def _conditions(columns: Sequence[PaperColumn]) -> list[str]:
    """Say what each column was measured under."""
    labels: dict[str, list[str]] = {}
    for column in columns:
        conditions = ", ".join(f"{name} {value}" for name, value in column.conditions.items() if value)
        if conditions and any(cell.measured for cell in column.cells.values()):
            labels.setdefault(conditions, []).append(column.label)
    return [f"{'; '.join(names)}: {conditions}." for conditions, names in labels.items()]


def _lettered(table: PaperTable) -> list[tuple[str, Erratum]]:
    return list(zip(string.ascii_lowercase, table.errata, strict=False))


def _row_marks(table: PaperTable, row: str) -> str:
    """Return the letters of the footnotes that hang on a row."""
    return ",".join(letter for letter, erratum in _lettered(table) if row in erratum.rows)


def _column_marks(table: PaperTable, column: PaperColumn) -> str:
    """Return the letters of the footnotes that hang on a column and on no row."""
    return ",".join(
        letter
        for letter, erratum in _lettered(table)
        if not _has_row(table, erratum) and column.label.startswith(erratum.columns)
    )


def _title_marks(table: PaperTable) -> str:
    """Return the letters of the footnotes that hang on no row and no column."""
    return ",".join(
        letter
        for letter, erratum in _lettered(table)
        if not _has_row(table, erratum)
        and not any(column.label.startswith(erratum.columns) for column in table.columns)
    )


def _has_row(table: PaperTable, erratum: Erratum) -> bool:
    return not set(erratum.rows).isdisjoint(table.rows)


def _marked(text: str, marks: str, separator: str = " ") -> str:
    return f"{text}{separator}[{marks}]" if marks else text


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else value
