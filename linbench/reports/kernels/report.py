"""The kernels report: records in; tables, a long CSV, LaTeX and figures out."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from linbench.records import Record, slug
from linbench.reports.kernels import table as kernel_table
from linbench.reports.kernels.rows import rows
from linbench.reports.latency.rows import comparisons, conditions, visible
from linbench.reports.render.latex import document, to_latex
from linbench.reports.render.table import Table, frame_to_csv, to_markdown, write_texts


def tables(records: Iterable[Record], code_hashes: Mapping[str, str] | None = None) -> list[Table]:
    """The table of each comparison."""
    return [table for section in sections(rows(records, code_hashes)) for table in section]


def sections(frame: pd.DataFrame) -> list[list[Table]]:
    """The table of each comparison of ``rows``."""
    return [[kernel_table.build(group)] for group in comparisons(frame)]


def as_json(records: Iterable[Record], code_hashes: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Every row as plain values; a missing number is None."""
    return plain(rows(records, code_hashes))


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Of ``rows`` what ``as_json`` gives of records."""
    frame = visible(frame)
    known = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in known.to_dict(orient="records")]


def write(records: Iterable[Record], folder: Path, code_hashes: Mapping[str, str] | None = None) -> list[Path]:
    """Write kernels.md, .csv, .tex and a figure for each comparison as .png and .svg; the paths, in that order.

    Raises ValueError where no record is of the suite.
    """
    frame = rows(records, code_hashes)
    return write_files(frame, sections(frame), folder, True)


def write_files(frame: pd.DataFrame, made: list[list[Table]], folder: Path, draw: bool) -> list[Path]:
    """Of ``rows`` what ``write`` writes of records.

    made: From ``sections``.
    draw: Whether to make figures.
    """
    from linbench.reports.kernels.figure import figure  # matplotlib is slow to load, tables do without
    from linbench.reports.render.figure import save

    if frame.empty:
        raise ValueError("records: none is of the suite kernels; measure some with linbench run --suite kernels")
    folder.mkdir(parents=True, exist_ok=True)
    parts, pictures, typeset = ["# Kernels beside their yardsticks\n"], [], []
    groups = comparisons(frame)
    for group, name, (table,) in zip(groups, _names(groups), made, strict=True):
        parts.append(to_markdown(table))
        typeset.append(to_latex(table))
        if draw and (drawn := figure(group)) is not None:
            pictures += save(drawn, folder / f"{name}.svg")
            parts.append(f"![Kernels as multiples of the roofline]({name}.svg)\n")
    texts = {
        folder / "kernels.md": "\n".join(parts),
        folder / "kernels.csv": frame_to_csv(visible(frame)),
        folder / "kernels.tex": document(*typeset),
    }
    return [*write_texts(texts), *pictures]


def _names(groups: list[pd.DataFrame]) -> list[str]:
    """A file name for each comparison: device and dtype, and a number where that does not tell them apart."""
    names: list[str] = []
    for group in groups:
        key = conditions(group)
        name = slug("-".join(["kernels", str(key.get("device", "")), str(key.get("dtype", ""))]))[:80]
        names.append(name if name not in names else f"{name}-{len(names)}")
    return ["kernels"] if len(names) == 1 else names
