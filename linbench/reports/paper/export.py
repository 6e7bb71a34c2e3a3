"""Write the files of a table of the paper: Markdown, CSV, LaTeX and JSON, each whole or absent."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from linbench.reports.paper.cell import PaperVerdict
from linbench.reports.paper.layout import PaperTable
from linbench.reports.paper.render import commands_of, every_cell, glance, plain_cells
from linbench.reports.render.latex import to_latex
from linbench.reports.render.table import Table, frame_to_csv, to_csv, to_markdown, write_texts


def write(table: PaperTable, folder: Path, suffix: str = "", images: Sequence[Path] = ()) -> list[Path]:
    """Write a table's four files and return their paths.

    suffix: Of the names, to tell devices apart.
    images: Files in ``folder`` that stand above the table in Markdown.
    """
    stem = table.name + suffix
    above = "".join(f"![{table.title}]({path.name})\n\n" for path in images)
    return write_texts(
        {
            folder / f"{stem}.md": above + markdown(table),
            folder / f"{stem}.csv": csv(table),
            folder / f"{stem}.tex": latex(table, stem),
            folder / f"{stem}.json": _json(plain_cells(table)),
        }
    )


def write_excluded(tables: Sequence[Table], folder: Path, suffix: str = "") -> list[Path]:
    """Write the tables of excluded scores in the same kinds of files."""
    stem = f"not-the-paper{suffix}"
    labels = [f"{stem}-{i}" for i in range(1, len(tables) + 1)]
    entries = [
        {
            "title": table.title,
            "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows],
            "notes": list(table.notes),
        }
        for table in tables
    ]
    return write_texts(
        {
            folder / f"{stem}.md": "\n".join(map(to_markdown, tables)),
            folder / f"{stem}.csv": "\n".join(map(to_csv, tables)),
            folder / f"{stem}.tex": "\n".join(map(to_latex, tables, labels)),
            folder / f"{stem}.json": _json(entries),
        }
    )


def summary(tables: Sequence[PaperTable]) -> Table:
    """Count the verdicts on the published numbers of each table."""
    rows = []
    for table in tables:
        verdicts = [cell.verdict for cell in table.cells() if cell.published is not None]
        rows.append((table.number, *(str(verdicts.count(verdict)) for verdict in PaperVerdict)))
    device = next((table.device for table in tables if table.device), "nothing yet")
    note = (
        "A quoted rate counts once for each preset. A deviation is not an error of the paper: recipes, data and "
        "protocols may differ, and the footnotes of each table name what the paper leaves open."
    )
    return Table(f"The paper's numbers against those of {device}", ("", *PaperVerdict), tuple(rows), (note,))


def summary_line(tables: Sequence[PaperTable]) -> str:
    """Count the verdicts on all published numbers in one sentence."""
    verdicts = [cell.verdict for table in tables for cell in table.cells() if cell.published is not None]
    counts = [f"{n} {verdict}" for verdict in PaperVerdict if (n := verdicts.count(verdict))]
    device = next((table.device for table in tables if table.device), "no device yet")
    number = f"{len(verdicts)} published number{'s' * (len(verdicts) != 1)}"
    return f"{device}: of {number}, {', '.join(counts)}."


def write_summary(tables: Sequence[PaperTable], folder: Path, suffix: str = "") -> list[Path]:
    """Write paper.md: the summary, with links to the tables."""
    links = "".join(f"- [{table.title}]({table.name}{suffix}.md)\n" for table in tables)
    return write_texts({folder / f"paper{suffix}.md": f"{to_markdown(summary(tables))}\n{links}"})


def markdown(table: PaperTable) -> str:
    """Render the table at a glance, every cell, and the commands that would measure what is not measured."""
    parts = [to_markdown(glance(table)), to_markdown(every_cell(table), level=3)]
    if commands := commands_of(table):  # made of linbench's own names only, so nothing needs escaping
        lines = [f"{command}  # {i}" for i, command in enumerate(commands, start=1)]
        parts.append("\n".join(["### Commands for what is not measured", "", "```sh", *lines, "```", ""]))
    return "\n".join(parts)


def csv(table: PaperTable) -> str:
    """Render a line for each cell, with its provenance as JSON."""
    cells = plain_cells(table)
    for cell in cells:
        cell["provenance"] = json.dumps(cell["provenance"], ensure_ascii=False)
    return frame_to_csv(pd.DataFrame(cells))


def latex(table: PaperTable, label: str) -> str:
    """Render the table at a glance and every cell; LaTeX numbers tables itself, so the paper's number comes last."""
    overview = glance(table)
    number, title = overview.title.split(": ", 1)
    overview = replace(overview, title=f"{title} ({number} of the paper)")
    cells = replace(every_cell(table), title=f"Every cell of {number} of the paper")
    return "\n".join([to_latex(overview, label), to_latex(cells, f"{label}-cells")])


def _json(entries: object) -> str:
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
