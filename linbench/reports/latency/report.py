"""The latency report: records in; tables, a long CSV, LaTeX and figures out."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from linbench.records import Record, slug
from linbench.reports.latency.rows import comparisons, conditions, rows, visible
from linbench.reports.latency.table import build, energy, phases
from linbench.reports.render.latex import document, to_latex
from linbench.reports.render.table import Table, frame_to_csv, to_markdown, write_texts

#: Conditions that tell two comparisons apart in a file name, where they are enough.
SHORT = ("device", "part", "dtype", "preset", "impl", "threads")


def tables(
    records: Iterable[Record], code_hashes: Mapping[str, str] | None = None, reference: str | None = None
) -> list[Table]:
    """Return the latency table of each comparison, and after it costs paid once, and energy."""
    return [table for section in sections(rows(records, code_hashes), reference) for table in section]


def sections(frame: pd.DataFrame, reference: str | None = None) -> list[list[Table]]:
    """Return the tables of each comparison of ``rows``, its latencies first."""
    return [[build(group, reference), phases(group), *filter(None, [energy(group)])] for group in comparisons(frame)]


def as_json(records: Iterable[Record], code_hashes: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Return every row as plain values; a missing number is None."""
    return plain(rows(records, code_hashes))


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what ``as_json`` returns, from ``rows``."""
    frame = visible(frame)
    values = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in values.to_dict(orient="records")]


def write(
    records: Iterable[Record],
    folder: Path,
    code_hashes: Mapping[str, str] | None = None,
    reference: str | None = None,
) -> list[Path]:
    """Write latency.md, .csv, .tex and a figure for each comparison as .png and .svg; return the paths in that order.

    Raises ValueError where no record is of the suite.
    """
    frame = rows(records, code_hashes)
    return write_files(frame, sections(frame, reference), folder, True, reference)


def write_files(
    frame: pd.DataFrame, made: list[list[Table]], folder: Path, draw: bool, reference: str | None = None
) -> list[Path]:
    """Write what ``write`` writes, from ``rows``.

    made: From ``sections``.
    draw: Whether to draw figures.
    """
    if frame.empty:
        raise ValueError("records: none is of the suite latency; `linbench run --suite latency` measures some")
    folder.mkdir(parents=True, exist_ok=True)
    names = _names(comparisons(frame))
    figures = _save_figures(frame, [folder / f"{name}.svg" for name in names], reference) if draw else {}
    markdown, latex = ["# Latency against resolution\n"], []
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


def _save_figures(frame: pd.DataFrame, paths: list[Path], reference: str | None) -> dict[Path, list[Path]]:
    """Save the figure of each comparison in which something was measured; return its files by its path."""
    from linbench.reports.latency.figure import figures  # matplotlib is slow to load, tables do without
    from linbench.reports.render.figure import save

    drawn = zip(figures(frame, reference), paths, strict=True)
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
    return str(value) if field in ("device", "part", "dtype", "preset", "impl", "mode") else f"{field}-{value}"
