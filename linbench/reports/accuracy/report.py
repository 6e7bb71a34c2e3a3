"""The accuracy report: records in; a table for each standing, a long CSV and LaTeX out."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from linbench.records import Record
from linbench.reports.accuracy import table as accuracy_table
from linbench.reports.accuracy.rows import rows
from linbench.reports.render.latex import document, to_latex
from linbench.reports.render.table import Table, frame_to_csv, to_markdown, write_texts


def tables(records: Iterable[Record], code_hashes: Mapping[str, str] | None = None) -> list[Table]:
    """What compares with published numbers in one table, and each kind of what does not in one of its own."""
    return [table for section in sections(rows(records, code_hashes)) for table in section]


def sections(frame: pd.DataFrame) -> list[list[Table]]:
    """The table of each standing of ``rows``."""
    if frame.empty:
        return []
    return [[accuracy_table.build(group)] for _, group in frame.groupby("standing", sort=True)]


def as_json(records: Iterable[Record], code_hashes: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Every row as plain values; a missing number is None."""
    return plain(rows(records, code_hashes))


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Of ``rows`` what ``as_json`` gives of records."""
    known = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in known.to_dict(orient="records")]


def write(records: Iterable[Record], folder: Path, code_hashes: Mapping[str, str] | None = None) -> list[Path]:
    """Write accuracy.md, .csv and .tex; the paths. Raises ValueError where no record is of such a suite."""
    frame = rows(records, code_hashes)
    return write_files(frame, sections(frame), folder)


def write_files(frame: pd.DataFrame, made: list[list[Table]], folder: Path, draw: bool = False) -> list[Path]:
    """Of ``rows`` what ``write`` writes of records; there is no figure to ``draw``.

    made: From ``sections``.
    """
    if frame.empty:
        raise ValueError("records: none is of accuracy; measure some with linbench run --suite dis")
    shown = [table for section in made for table in section]
    return write_texts(
        {
            folder / "accuracy.md": "\n".join(["# Accuracy\n", *map(to_markdown, shown)]),
            folder / "accuracy.csv": frame_to_csv(frame),
            folder / "accuracy.tex": document(*map(to_latex, shown)),
        }
    )
