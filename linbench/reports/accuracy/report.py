"""The accuracy report: records in; a table for each standing, a long CSV and LaTeX out."""

from pathlib import Path

import pandas as pd

from linbench.reports.accuracy.rows import rows as rows
from linbench.reports.accuracy.table import build
from linbench.reports.latency.report import plain as plain
from linbench.reports.render.latex import document, to_latex
from linbench.reports.render.table import Table, frame_to_csv, to_markdown, write_texts


def sections(frame: pd.DataFrame) -> list[list[Table]]:
    """Return one table for each standing of ``rows``; numbers comparable with published ones come first."""
    return [[build(group)] for _, group in frame.groupby("standing", sort=True)] if len(frame) else []


def write_files(frame: pd.DataFrame, table_groups: list[list[Table]], folder: Path, draw: bool = False) -> list[Path]:
    """Write accuracy.md, .csv and .tex, and return the paths; there is no figure to ``draw``.

    table_groups: From ``sections``.

    Raises ValueError where no record is of such a suite.
    """
    if frame.empty:
        raise ValueError("records: none is of accuracy; `linbench run --suite dis` measures some")
    tables = [table for group in table_groups for table in group]
    return write_texts(
        {
            folder / "accuracy.md": "\n".join(["# Accuracy\n", *map(to_markdown, tables)]),
            folder / "accuracy.csv": frame_to_csv(frame),
            folder / "accuracy.tex": document(*map(to_latex, tables)),
        }
    )
