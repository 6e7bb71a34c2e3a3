"""The training-step report: records in; tables, a long CSV, LaTeX and figures out."""

from pathlib import Path

import pandas as pd

from linbench.records import slug
from linbench.reports.latency.report import plain as plain
from linbench.reports.latency.rows import comparisons, conditions, visible
from linbench.reports.render.latex import document, to_latex
from linbench.reports.render.table import Table, frame_to_csv, to_markdown, write_texts
from linbench.reports.training_step.rows import rows as rows
from linbench.reports.training_step.table import build

TELLING = ("mode", "device", "dtype", "preset", "threads")  # conditions in a file name


def sections(frame: pd.DataFrame) -> list[list[Table]]:
    """Return one table for each comparison of ``rows``."""
    return [[build(group)] for group in comparisons(frame)]


def write_files(frame: pd.DataFrame, made: list[list[Table]], folder: Path, draw: bool) -> list[Path]:
    """Write training-step.md, .csv, .tex and a figure for each comparison as .png and .svg; return the paths.

    made: From ``sections``.  draw: Whether to draw figures.
    """
    from linbench.reports.render.figure import save  # matplotlib is slow to load, tables do without
    from linbench.reports.training_step.figure import figure

    folder.mkdir(parents=True, exist_ok=True)
    markdown, images = ["# Training steps of backbone and neck\n"], []
    groups = comparisons(frame)
    for group, name, (table,) in zip(groups, _names(groups), made, strict=True):
        markdown.append(to_markdown(table))
        if draw and (drawing := figure(group)) is not None:
            images += save(drawing, folder / f"{name}.svg")
            markdown.append(f"![{table.title}]({name}.svg)\n")
    texts = {
        folder / "training-step.md": "\n".join(markdown),
        folder / "training-step.csv": frame_to_csv(visible(frame)),
        folder / "training-step.tex": document(*(to_latex(table) for (table,) in made)),
    }
    return [*write_texts(texts), *images]


def _names(groups: list[pd.DataFrame]) -> list[str]:
    """Return a file name for each comparison: its conditions, and an index where these are not unique."""
    names: list[str] = []
    for group in groups:
        key = conditions(group)
        name = slug("-".join(str(key.get(entry, "")) for entry in TELLING))[:80]
        names.append(name if name not in names else f"{name}-{len(names)}")
    return ["training-step"] if len(names) == 1 else names
