"""A table of plain text, and its forms: terminal, Markdown, CSV; and the files that a report writes.

Cells and notes may contain text from records that somebody else wrote. A Table keeps it as it is; each form makes it
harmless: control characters in all, ``|`` and markup in Markdown, formulas in CSV.
"""

import csv
import html
import io
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from linbench.reports.render.plain_text import clip, plain
from linbench.system.files import replacing

MISSING = "–"
LONGEST_CELL = 40  # characters, in a terminal
HEAD_PADDING = 2  # tabulate's
LONGEST_TEXT = 400  # characters of a note or of a Markdown cell


@dataclass(frozen=True)
class Table:
    """A table with its title and notes.

    columns: A line break starts the second line of a head.
    rows: Of as many cells as there are columns.
    warnings: What a reader must know before the first number; they stand above the table.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def to_terminal(table: Table, width: int = 100) -> str:
    """Return the table in ``width`` columns of text; further columns follow below, beside the first one again."""
    rows = [[clip(plain(cell), LONGEST_CELL) for cell in row] for row in table.rows]
    heads = ["\n".join(clip(plain(line), LONGEST_CELL) for line in head.split("\n")) for head in table.columns]
    parts = [clip(plain(table.title), LONGEST_TEXT), *(_wrap(warning, width) for warning in table.warnings)]
    for block in blocks(heads, rows, width):
        cells = [[row[i] for i in block] for row in rows]
        parts.append(_tabulated([heads[i] for i in block], cells, "simple"))
    notes = [_wrap(note, width, "  ") for note in table.notes]
    return "\n\n".join([*parts, "\n".join(notes)] if notes else parts) + "\n"


def to_html(table: Table) -> str:
    """Return the table for a notebook: its title, its cells, its notes as a list; all text is escaped."""
    frame = pd.DataFrame(list(table.rows), columns=[column.replace("\n", " ") for column in table.columns])
    texts = [f"<p>{html.escape(plain(warning))}</p>" for warning in table.warnings]
    notes = "".join(f"<li>{html.escape(plain(note))}</li>" for note in table.notes)
    cells = frame.to_html(index=False, escape=True)
    return f"<h4>{html.escape(plain(table.title))}</h4>{''.join(texts)}{cells}<ul>{notes}</ul>"


def to_markdown(table: Table, level: int = 2) -> str:
    """Return the table as Markdown under a heading of ``level``, its notes as a list."""
    rows = [[_markdown(cell) for cell in row] for row in table.rows]
    heads = [_markdown(head) for head in table.columns]
    notes = "".join(f"- {_markdown(note)}\n" for note in table.notes)
    title = f"{'#' * level} {_markdown(table.title)}\n\n"
    title += "".join(f"**{_markdown(warning)}**\n\n" for warning in table.warnings)
    return f"{title}{_tabulated(heads, rows, 'pipe')}\n" + (f"\n{notes}" if notes else "")


def to_csv(table: Table) -> str:
    """Return the table as CSV, without title and notes."""
    return _csv([table.columns, *table.rows])


def frame_to_csv(frame: pd.DataFrame) -> str:
    """Return every column of a data frame as CSV; a missing number is an empty cell."""
    body = frame.astype(object).where(frame.notna(), "")
    return _csv([tuple(frame.columns), *body.itertuples(index=False, name=None)])


def write_texts(texts: Mapping[Path, str]) -> list[Path]:
    """Write each text under its path, whole or not at all, the same bytes on every system; return the paths.

    Folders are made.
    """
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    return list(texts)


def _wrap(text: str, width: int, indent: str = "") -> str:
    """Return a note in lines of ``width``; no name or option of a command is broken at its hyphens."""
    hanging = f"  {indent}" if indent else ""
    text = clip(plain(text), LONGEST_TEXT)
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=hanging, break_on_hyphens=False)


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|&])", r"\\\1", clip(plain(text), LONGEST_TEXT))


def _tabulated(heads: Sequence[str], rows: Sequence[Sequence[str]], style: str) -> str:
    align = ["left", *["right"] * (len(heads) - 1)]
    return tabulate(rows, headers=heads, tablefmt=style, disable_numparse=True, colalign=align if rows else None)


def blocks(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterable[list[int]]:
    """Yield the indices of the columns of each block that fits in ``width``; the first column opens each block."""
    widths = [
        max(HEAD_PADDING + max(map(len, head.split("\n"))), *(len(row[i]) for row in rows), 0)
        for i, head in enumerate(heads)
    ]
    block, used = [0], widths[0]
    for index in range(1, len(heads)):
        if len(block) > 1 and used + 2 + widths[index] > width:
            yield block
            block, used = [0], widths[0]
        block.append(index)
        used += 2 + widths[index]
    yield block


def _csv(lines: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([[_cell(value) for value in line] for line in lines])
    return buffer.getvalue()


def _cell(value: object) -> object:
    """Return a number as it is; text as one line that no spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
