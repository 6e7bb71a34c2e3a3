"""The latency report: records in; tables, a long CSV, LaTeX and figures out."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from linbench.records import Record, slug
from linbench.reports.latency import energy as energy_table
from linbench.reports.latency import table as latency_table
from linbench.reports.latency.rows import comparisons, conditions, rows, visible
from linbench.reports.render.latex import document, to_latex
from linbench.reports.render.table import Table, frame_to_csv, to_markdown
from linbench.reports.render.text_files import write_texts

#: What tells two comparisons apart in a file name, where it is enough.
SHORT = ("device", "part", "dtype", "preset", "impl", "threads")


def tables(
    records: Iterable[Record], code_hashes: Mapping[str, str] | None = None, reference: str | None = None
) -> list[Table]:
    """The latency table of each comparison, and after it what was paid before the first sample, and the energy."""
    return [table for section in sections(rows(records, code_hashes), reference) for table in section]


def sections(frame: pd.DataFrame, reference: str | None = None) -> list[list[Table]]:
    """The tables of each comparison of ``rows``, its latencies first."""
    return [[latency_table.build(group, reference), *_further(group)] for group in comparisons(frame)]


def as_json(records: Iterable[Record], code_hashes: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Every row as plain values; a missing number is None."""
    return plain(rows(records, code_hashes))


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Of ``rows`` what ``as_json`` gives of records."""
    frame = visible(frame)
    known = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in known.to_dict(orient="records")]


def write(
    records: Iterable[Record],
    folder: Path,
    code_hashes: Mapping[str, str] | None = None,
    reference: str | None = None,
) -> list[Path]:
    """Write latency.md, .csv, .tex and a figure for each comparison as .png and .svg; the paths, in that order.

    Raises ValueError where no record is of the suite.
    """
    frame = rows(records, code_hashes)
    return write_files(frame, sections(frame, reference), folder, True, reference)


def write_files(
    frame: pd.DataFrame, made: list[list[Table]], folder: Path, draw: bool, reference: str | None = None
) -> list[Path]:
    """Of ``rows`` what ``write`` writes of records.

    made: From ``sections``.
    draw: Whether to make figures.
    """
    if frame.empty:
        raise ValueError("records: none is of the suite latency; measure some with linbench run --suite latency")
    folder.mkdir(parents=True, exist_ok=True)
    names = _names(comparisons(frame))
    drawn = _drawn(frame, [folder / f"{name}.svg" for name in names], reference) if draw else {}
    parts, typeset = ["# Latency against resolution\n"], []
    for (table, *further), name in zip(made, names, strict=True):
        parts.append(to_markdown(table))
        if folder / f"{name}.svg" in drawn:
            parts.append(f"![Latency against resolution]({name}.svg)\n")
        parts += [to_markdown(each, level=3) for each in further]
        typeset += [to_latex(each) for each in (table, *further)]
    texts = {
        folder / "latency.md": "\n".join(parts),
        folder / "latency.csv": frame_to_csv(visible(frame)),
        folder / "latency.tex": document(*typeset),
    }
    return [*write_texts(texts), *(path for paths in drawn.values() for path in paths)]


def _drawn(frame: pd.DataFrame, paths: list[Path], reference: str | None) -> dict[Path, list[Path]]:
    """The files of each comparison's figure, by the path asked for; none where nothing was measured."""
    from linbench.reports.latency.figure import figures, save  # matplotlib is slow to load, tables do without

    made = zip(figures(frame, reference), paths, strict=True)
    return {path: save(drawn, path) for drawn, path in made if drawn is not None}


def _further(group: pd.DataFrame) -> list[Table]:
    """What stands below a comparison's latencies: what was paid before the first sample, and the energy."""
    return [latency_table.phases(group), *filter(None, [energy_table.build(group)])]


def _names(groups: list[pd.DataFrame]) -> list[str]:
    """A file name for each comparison: "latency" for the only one, else with what tells it from the others."""
    keys = [conditions(group) for group in groups]
    fields = sorted({name for key in keys for name in key} - {"device_type"})
    telling = [name for name in fields if len({str(key.get(name)) for key in keys}) > 1]
    short = [name for name in telling if name in SHORT]
    if len({tuple(str(key.get(name)) for name in short) for key in keys}) == len(keys):
        telling = short
    names: list[str] = []
    for key in keys:
        name = slug("-".join(["latency", *(_word(field, key.get(field)) for field in telling)]))[:80]
        names.append(name if name not in names else f"{name}-{len(names)}")
    return names


def _word(field: str, value: object) -> str:
    """A value as part of a name, with its field where it would not speak for itself."""
    return str(value) if field in ("device", "part", "dtype", "preset", "impl", "mode") else f"{field}-{value}"
