"""Images per second at the best batch: a line for each backbone and resolution; which backbone is fastest."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from linbench.reports.latency.notes import commits, counted, disturbed, marks, percent
from linbench.reports.latency.rows import conditions, significant
from linbench.reports.latency.table import subject
from linbench.reports.render.table import MISSING, Table
from linbench.reports.statistics.latency_summary import contrast
from linbench.reports.statistics.quality import STALE, quality
from linbench.reports.statistics.verdicts import ALPHA, holm

Row = Mapping[Any, Any]


def build(rows: pd.DataFrame) -> Table:
    """Return the table of one comparison of ``throughput.rows.rows``."""
    lines = tuple(
        (
            str(row["label"]),
            str(row["size"]),
            rate(row),
            str(row["batch"]) or MISSING,
            MISSING if np.isnan(row["peak_mib"]) else f"{row['peak_mib']:.0f}",
        )
        for row in rows.to_dict(orient="records")
    )
    columns = ("backbone", "size", "images/s", "best\nbatch", "peak\nMiB")
    notes = [*_conditions(rows), *marks(rows), *_reasons(rows), *fastest(rows)]
    return Table(title(rows), columns, lines, tuple(notes), tuple(disturbed(rows, "throughputs")))


def title(rows: pd.DataFrame) -> str:
    """Return the title of the rows of one comparison."""
    return f"Throughput of the {conditions(rows).get('part', 'backbone')}: {subject(rows)}"


def rate(row: Row, unit: str = "") -> str:
    """Return one cell: "12.3 ±1.2 %" with its marks, or the status where it is not ok.

    unit: Stands after the number.
    """
    if row["status"] != "ok":
        return str(row["status"]) + (STALE if row["stale"] else "")
    known = quality(row)
    text = f"{known.prefix}{significant(row['images_per_s'])}{unit}"
    if row["interval"] != "none":
        value = row["images_per_s"]
        half = max(row["high_per_s"] - value, value - row["low_per_s"]) / value * 100
        text += f" ±{percent(half)}"
    return text + known.suffix


def fastest(rows: pd.DataFrame) -> Iterator[str]:
    """Say for each resolution which backbones no other is shown to exceed; nothing where a throughput is in doubt.

    Each is tested against the best by Welch's test, at 5 % over all of them (Holm).
    """
    for size, group in rows[rows["status"] == "ok"].groupby("size", sort=False):
        cells = sorted(group.to_dict(orient="records"), key=lambda row: float(row["median_ms"]))
        doubtful = [f"{row['label']}: {doubt}" for row in cells if (doubt := quality(row).doubt)]
        if len(cells) < 2:
            continue
        if doubtful:
            yield f"{size}: nothing is stated: {'; '.join(doubtful)}."
            continue
        best, *others = cells
        p_values = holm([_p_same(best, other) for other in others])
        equal = [str(row["label"]) for row, p in zip(others, p_values, strict=True) if p >= ALPHA]
        if equal:
            yield f"{size}: {best['label']} is in front, not shown to be faster than {', '.join(equal)}."
        else:
            yield f"{size}: {best['label']} is fastest."


def _p_same(first: Row, second: Row) -> float:
    mean, error, freedom = (
        np.array([row[name] for row in (first, second)]) for name in ("log_mean", "log_error", "freedom")
    )
    return float(contrast(mean, error, freedom, np.array([-1.0, 1.0])).p_value())


def _conditions(rows: pd.DataFrame) -> list[str]:
    key = conditions(rows)
    return [
        f"{key.get('device', 'unknown device')}; torch {counted(rows['torch'])}; commit {commits(rows)}.",
        "images/s: 1 / the median over the rounds (fresh processes) of each round's median time per image, at the "
        "batch that the round found best: doubled from 1 until it gains less than 3 %, or memory or time ends.",
        "A window queues forwards for 0.2 s or longer and waits once. peak: above the process before its model.",
    ]


def _reasons(rows: pd.DataFrame) -> list[str]:
    failed = rows[rows["status"] != "ok"]
    return [f"{row['label']} {row['size']}: {row['status']}, {row['reason']}" for _, row in failed.iterrows()]
