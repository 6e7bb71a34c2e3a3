"""The latency report: records in; tables, a long CSV and figures out."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from linbench.records import Record, slug
from linbench.reports import energy_table, latency_table
from linbench.reports.rows import comparisons, conditions, rows, visible
from linbench.reports.table import Table, frame_to_csv, to_markdown

#: What tells two comparisons apart in a file name, where it is enough.
SHORT = ("device", "part", "dtype", "preset", "impl", "threads")


def tables(
    records: Iterable[Record], code_hashes: Mapping[str, str] | None = None, reference: str | None = None
) -> list[Table]:
    """The latency table of each comparison, and after it what was paid before the first sample, and the energy."""
    groups = comparisons(rows(records, code_hashes))
    return [table for group in groups for table in (latency_table.build(group, reference), *_further(group))]


def as_json(records: Iterable[Record], code_hashes: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Every row as plain values; a missing number is None."""
    frame = visible(rows(records, code_hashes))
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict(orient="records")]


def write(
    records: Iterable[Record],
    folder: Path,
    code_hashes: Mapping[str, str] | None = None,
    reference: str | None = None,
) -> list[Path]:
    """Write latency.md, latency.csv and a figure for each comparison as .png and .svg; the paths, in that order.

    Raises ValueError where no record is of the suite.
    """
    from linbench.reports.latency_figure import figures, save  # matplotlib is slow to load, tables do without

    frame = rows(records, code_hashes)
    if frame.empty:
        raise ValueError("records: none is of the suite latency; measure some with linbench run --suite latency")
    folder.mkdir(parents=True, exist_ok=True)
    groups = comparisons(frame)
    parts, pictures = ["# Latency against resolution\n"], []
    for group, name, drawn in zip(groups, _names(groups), figures(frame, reference), strict=True):
        parts.append(to_markdown(latency_table.build(group, reference)))
        if drawn is not None:
            pictures += save(drawn, folder / f"{name}.svg")
            parts.append(f"![Latency against resolution]({name}.svg)\n")
        parts += [to_markdown(table, level=3) for table in _further(group)]
    texts = {folder / "latency.md": "\n".join(parts), folder / "latency.csv": frame_to_csv(visible(frame))}
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8", newline="\n")
    return [*texts, *pictures]


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
