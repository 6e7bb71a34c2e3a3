"""The latency report: records in; tables, a long CSV, LaTeX and figures out."""

from pathlib import Path
from typing import Any

import pandas as pd

from linbench.records import slug
from linbench.reports.latency.parts import combine
from linbench.reports.latency.rows import comparisons, conditions, rows, visible
from linbench.reports.latency.table import build, energy, phases
from linbench.reports.render.latex import document, to_latex
from linbench.reports.render.table import Table, frame_to_csv, to_markdown, write_texts

__all__ = ["plain", "printed", "rows", "sections", "write_files"]

#: Conditions that tell two comparisons apart in a file name, where they are enough.
SHORT = ("device", "part", "batch", "dtype", "preset", "engine", "impl", "threads")


def sections(frame: pd.DataFrame) -> list[list[Table]]:
    """Return the tables of each comparison of ``rows``, its latencies first."""
    return [[build(group), phases(group), *filter(None, [energy(group)])] for group in comparisons(frame)]


def printed(frame: pd.DataFrame, made: list[list[Table]]) -> list[Table]:
    """Return the tables that a terminal shows: those of ``sections``, parts of one segmenter in one table instead.

    made: From ``sections``.
    """
    combined = combine(frame)
    replaced = frozenset().union(*(table.comparisons for table in combined))
    others = [
        table
        for group, section in zip(comparisons(frame), made, strict=True)
        for table in section
        if group["comparison"].iloc[0] not in replaced
    ]
    return [*(part.table for part in combined), *others]


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return every row as plain values; a missing number is None."""
    frame = visible(frame)
    values = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in values.to_dict(orient="records")]


def write_files(frame: pd.DataFrame, made: list[list[Table]], folder: Path, draw: bool) -> list[Path]:
    """Write latency.md, .csv, .tex and a figure for each comparison as .png and .svg; return the paths in that order.

    made: From ``sections``.
    draw: Whether to draw figures.

    Raises ValueError where no record is of the suite.
    """
    if frame.empty:
        raise ValueError("records: none is of the suite latency; `linbench run --suite latency` measures some")
    folder.mkdir(parents=True, exist_ok=True)
    names = _names(comparisons(frame))
    figures = _save_figures(frame, [folder / f"{name}.svg" for name in names]) if draw else {}
    combined = [part.table for part in combine(frame)]
    markdown = ["# Latency against resolution\n", *map(to_markdown, combined)]
    latex = [*map(to_latex, combined)]
    for (table, *further), name in zip(made, names, strict=True):
        markdown.append(to_markdown(table))
        if folder / f"{name}.svg" in figures:
            markdown.append(f"![Latency against resolution]({name}.svg)\n")
        markdown += [to_markdown(other, level=3) for other in further]
        latex += [to_latex(other) for other in (table, *further)]
    texts = {
        folder / "latency.md": "\n".join(markdown),
        folder / "latency.csv": frame_to_csv(visible(frame)),
        folder / "latency.tex": document(*latex),
    }
    return [*write_texts(texts), *(path for paths in figures.values() for path in paths)]


def _save_figures(frame: pd.DataFrame, paths: list[Path]) -> dict[Path, list[Path]]:
    """Save the figure of each comparison in which something was measured; return its files by its path."""
    from linbench.reports.latency.figure import figures  # matplotlib is slow to load, tables do without
    from linbench.reports.render.figure import save

    drawn = zip(figures(frame), paths, strict=True)
    return {path: save(figure, path) for figure, path in drawn if figure is not None}


def _names(groups: list[pd.DataFrame]) -> list[str]:
    """Return a file name for each comparison: "latency" for the only one, else with what tells it from the others."""
    keys = [conditions(group) for group in groups]
    fields = sorted({name for key in keys for name in key} - {"device_type"})
    telling = [name for name in fields if len({str(key.get(name)) for key in keys}) > 1]
    short = [name for name in telling if name in SHORT]
    if len({tuple(str(key.get(name)) for name in short) for key in keys}) == len(keys):
        telling = short
    names: list[str] = []
    for key in keys:
        name = slug("-".join(["latency", *(_name_part(field, key.get(field)) for field in telling)]))[:80]
        names.append(name if name not in names else f"{name}-{len(names)}")
    return names


def _name_part(field: str, value: object) -> str:
    """Return a value as part of a file name, with its field where the value alone is unclear."""
    return (
        str(value) if field in ("device", "part", "dtype", "preset", "engine", "impl", "mode") else f"{field}-{value}"
    )
