"""The kernels report: records in; tables, a long CSV, LaTeX and figures out."""

from pathlib import Path

import pandas as pd

from linbench.records import slug
from linbench.reports.kernels.rows import rows as rows
from linbench.reports.kernels.table import build
from linbench.reports.latency.report import plain as plain
from linbench.reports.latency.rows import comparisons, conditions, visible
from linbench.reports.render.latex import document, to_latex
from linbench.reports.render.table import Table, frame_to_csv, to_markdown, write_texts


def sections(frame: pd.DataFrame) -> list[list[Table]]:
    """Return one table for each comparison of ``rows``."""
    return [[build(group)] for group in comparisons(frame)]


def write_files(frame: pd.DataFrame, table_groups: list[list[Table]], folder: Path, draw: bool) -> list[Path]:
    """Write kernels.md, .csv, .tex and a figure for each comparison as .png and .svg; return the paths in that order.

    table_groups: From ``sections``.
    draw: Whether to draw figures.

    Raises ValueError where no record is of the suite.
    """
    from linbench.reports.kernels.figure import figure  # matplotlib is slow to load, tables do without
    from linbench.reports.render.figure import save

    if frame.empty:
        raise ValueError("records: none is of the suite kernels; `linbench run --suite kernels` measures some")
    folder.mkdir(parents=True, exist_ok=True)
    markdown, images, latex = ["# Kernels and their baselines\n"], [], []
    groups = comparisons(frame)
    for group, name, (table,) in zip(groups, _names(groups), table_groups, strict=True):
        markdown.append(to_markdown(table))
        latex.append(to_latex(table))
        if draw and (drawing := figure(group)) is not None:
            images += save(drawing, folder / f"{name}.svg")
            markdown.append(f"![Kernels as multiples of the roofline]({name}.svg)\n")
    texts = {
        folder / "kernels.md": "\n".join(markdown),
        folder / "kernels.csv": frame_to_csv(visible(frame)),
        folder / "kernels.tex": document(*latex),
    }
    return [*write_texts(texts), *images]


def _names(groups: list[pd.DataFrame]) -> list[str]:
    """Return a file name for each comparison: device and dtype, and an index where these are not unique."""
    names: list[str] = []
    for group in groups:
        key = conditions(group)
        name = slug("-".join(["kernels", str(key.get("device", "")), str(key.get("dtype", ""))]))[:80]
        names.append(name if name not in names else f"{name}-{len(names)}")
    return ["kernels"] if len(names) == 1 else names
