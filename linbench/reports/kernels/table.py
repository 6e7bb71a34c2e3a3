"""Each op beside a copy, a linear layer, attention and the roofline: one table for each comparison."""

import math

import pandas as pd

from linbench.reports.latency.notes import commits, counted, marks
from linbench.reports.latency.rows import conditions, significant
from linbench.reports.latency.table import latency, subject
from linbench.reports.render.table import MISSING, Table

MOST_REASONS = 12


def build(rows: pd.DataFrame) -> Table:
    """The table of one comparison: a line for each op, case, direction and implementation.

    rows: From ``rows.comparisons`` of ``kernel_rows.rows``.
    """
    lines = [
        (
            str(row["label"]),
            latency(row),
            _digits(row["roofline_ms"]),
            _digits(row["of_roofline"]),
            row["bound"] or MISSING,
            *(_digits(row[f"of_{name}"]) for name in ("copy", "linear", "sdpa")),
            MISSING if math.isnan(row["kernel_error"]) else f"{row['kernel_error']:.0e}",
        )
        for _, row in rows.iterrows()
    ]
    columns = (
        *("op, case, direction", "time", "roofline\nms", "× of\nroofline", "bound by"),
        *("× of a\ncopy", "× of a\nlinear", "× of\nSDPA", "error"),
    )
    notes = [*_conditions(rows), *marks(rows), *_left_out(rows), *_reasons(rows)]
    return Table(title(rows), columns, tuple(lines), tuple(notes))


def title(rows: pd.DataFrame) -> str:
    """What the rows of one comparison are."""
    return f"Kernels: {subject(rows)}"


def _conditions(rows: pd.DataFrame) -> list[str]:
    key = conditions(rows)
    named = [f"{name} {value}" for name, value in key.items() if name not in ("suite", "device", "device_type")]
    notes = [
        f"{key.get('device', 'unknown device')}; torch {counted(rows['torch'])}; commit {commits(rows)}.",
        f"{', '.join(named)}.",
        "time: median over the rounds (fresh processes) of each round's median; a ratio is taken within each round, "
        "whose process timed the op and its yardsticks in turn.",
        "copy: as many bytes as the op has to move, each input read and each output written once. linear: a layer of "
        "the op's width on its tokens. SDPA: torch's attention at its length, heads of 64. Of a bwd, their backward.",
        "fwd: without gradients. bwd: the gradients of all inputs. error: of the op against its equation in float64, "
        "on a sample, as a share of the largest true value; nothing is timed that is over its budget.",
    ]
    measured = rows[rows["status"] == "ok"]
    if len(measured):
        copied, product = measured["copy_gb_s"].median(), measured["product_gflop_s"].median()
        notes.append(
            f"roofline: the larger of bytes / copy rate and FLOPs / rate of matrix products, both measured in each "
            f"round; {significant(copied)} GB/s and {significant(product)} GFLOP/s here, at the median."
        )
        if not key.get("l2_flushed"):
            notes.append("No cache was flushed: an op that finds its inputs in a cache may be under its roofline.")
    return notes


def _left_out(rows: pd.DataFrame) -> list[str]:
    left = rows[rows["left_out"] != ""]
    return [f"{row['label']}: not timed beside {row['left_out']}." for _, row in left.iterrows()][:MOST_REASONS]


def _reasons(rows: pd.DataFrame) -> list[str]:
    failed = rows[rows["status"] != "ok"]
    notes = [
        f"{row['label']}: {row['status']}" + (f", {row['reason']}" if row["reason"] else "")
        for _, row in failed.iterrows()
    ]
    left = len(notes) - MOST_REASONS
    return notes[:MOST_REASONS] + ([f"and {left} more, see the CSV."] if left > 0 else [])


def _digits(value: float) -> str:
    return MISSING if math.isnan(value) else significant(value)
