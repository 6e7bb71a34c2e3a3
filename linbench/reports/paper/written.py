"""The files of a table of the paper: Markdown, CSV, LaTeX and JSON, each whole or absent."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from linbench.reports.paper.cell import Verdict
from linbench.reports.paper.layout import PaperTable
from linbench.reports.paper.shown import commands_of, every_cell, glance, plain_cells
from linbench.reports.render.latex import to_latex
from linbench.reports.render.table import Table, frame_to_csv, to_csv, to_markdown, write_texts


def write(table: PaperTable, folder: Path, suffix: str = "", above: str = "") -> list[Path]:
    """Write a table's four files; return their paths.

    suffix: Of the names, which tells devices apart.
    above: Markdown that stands before the table.
    """
    stem = table.name + suffix
    return write_texts(
        {
            folder / f"{stem}.md": above + markdown(table),
            folder / f"{stem}.csv": csv(table),
            folder / f"{stem}.tex": latex(table, stem),
            folder / f"{stem}.json": json.dumps(plain_cells(table), indent=1, ensure_ascii=False) + "\n",
        }
    )


def write_plain(name: str, tables: Sequence[Table], folder: Path) -> list[Path]:
    """Write tables that quote nothing, in the same kinds of files."""
    texts = {
        folder / f"{name}.md": "\n".join(to_markdown(table) for table in tables),
        folder / f"{name}.csv": "\n".join(to_csv(table) for table in tables),
        folder / f"{name}.tex": "\n".join(to_latex(table, f"{name}-{i}") for i, table in enumerate(tables, start=1)),
        folder / f"{name}.json": json.dumps([_plain(table) for table in tables], indent=1, ensure_ascii=False) + "\n",
    }
    return write_texts(texts)


def summary(tables: Sequence[PaperTable]) -> Table:
    """How many quoted numbers of each table have which verdict."""
    rows = []
    for table in tables:
        verdicts = [cell.verdict for cell in table.cells() if cell.quoted is not None]
        counts = (str(verdicts.count(verdict)) for verdict in Verdict)
        rows.append((table.title.split(":")[0], *counts))
    device = next((table.device for table in tables if table.device), "nothing yet")
    notes = (
        "A quoted rate counts once for each preset. deviates is no reproach: recipes, data and protocol may differ, "
        "and the footnotes of each table say where the paper leaves them open.",
    )
    return Table(f"The paper's numbers against those of {device}", ("", *Verdict), tuple(rows), notes)


def write_summary(tables: Sequence[PaperTable], folder: Path, suffix: str = "") -> list[Path]:
    """Write paper.md: the summary, and where the tables are."""
    links = "".join(f"- [{table.title}]({table.name}{suffix}.md)\n" for table in tables)
    return write_texts({folder / f"paper{suffix}.md": f"{to_markdown(summary(tables))}\n{links}"})


def markdown(table: PaperTable) -> str:
    """The table at a glance, every cell, and the commands that would measure what is not."""
    parts = [to_markdown(glance(table)), to_markdown(every_cell(table), level=3)]
    if commands := commands_of(table):
        parts.append(_commands(commands))
    return "\n".join(parts)


def csv(table: PaperTable) -> str:
    """A line for each cell, with its provenance as JSON."""
    cells = plain_cells(table)
    for cell in cells:
        cell["provenance"] = json.dumps(cell["provenance"], ensure_ascii=False)
    return frame_to_csv(pd.DataFrame(cells))


def latex(table: PaperTable, label: str) -> str:
    """The table at a glance and every cell; LaTeX numbers tables itself, so the paper's number comes last."""
    whole = glance(table)
    number, what = whole.title.split(": ", 1)
    whole = replace(whole, title=f"{what} ({number} of the paper)")
    cells = replace(every_cell(table), title=f"Every cell of {number} of the paper")
    return "\n".join([to_latex(whole, label), to_latex(cells, f"{label}-cells")])


def _commands(commands: Iterable[str]) -> str:
    """The commands, numbered; they are made of names of ours only."""
    lines = [f"{command}  # {i}" for i, command in enumerate(commands, start=1)]
    return "\n".join(["### What would measure the rest", "", "```sh", *lines, "```", ""])


def _plain(table: Table) -> dict[str, object]:
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return {"title": table.title, "rows": rows, "notes": list(table.notes)}
