"""Each op against a copy, a linear layer, attention and the roofline: one table for each comparison."""

import math

import pandas as pd

from linbench.reports.latency.notes import commits, counted, disturbed, marks
from linbench.reports.latency.rows import conditions, significant
from linbench.reports.latency.table import latency, subject
from linbench.reports.render.table import MISSING, Table

MOST_REASONS = 12


def build(rows: pd.DataFrame) -> Table:
    """Return the table of one comparison: a line for each op, case, direction and implementation.

    rows: One of ``latency.rows.comparisons`` of ``kernels.rows.rows``.
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
    return Table(title(rows), columns, tuple(lines), tuple(notes), tuple(disturbed(rows, "times")))


def title(rows: pd.DataFrame) -> str:
    """Return the title of the rows of one comparison."""
    return f"Kernels: {subject(rows)}"


def _conditions(rows: pd.DataFrame) -> list[str]:
    key = conditions(rows)
    named = [f"{name} {value}" for name, value in key.items() if name not in ("suite", "device", "device_type")]
    notes = [
        f"{key.get('device', 'unknown device')}; torch {counted(rows['torch'])}; commit {commits(rows)}.",
        f"{', '.join(named)}.",
        "time: median over the rounds (fresh processes) of each round's median; a ratio is taken within each round, "
        "whose process timed the op and its baselines in turn.",
        "copy: as many bytes as the op must move, reading each input and writing each output once. linear: a layer "
        "of the op's width on its tokens. SDPA: torch's attention at its length, heads of 64. bwd: their backward.",
        "fwd: without gradients. bwd: the gradients of all inputs. error: of the op against its equation in float64, "
        "on a sample, relative to the largest true value; an op whose error exceeds its budget is not timed.",
    ]
    measured = rows[rows["status"] == "ok"]
    if len(measured):
        copied, product = measured["copy_gb_s"].median(), measured["product_gflop_s"].median()
        notes.append(
            f"roofline: the larger of bytes / copy rate and FLOPs / rate of matrix products, both measured in each "
            f"round; the median is {significant(copied)} GB/s and {significant(product)} GFLOP/s."
        )
        if not key.get("l2_flushed"):
            notes.append("No cache was flushed: an op whose inputs are in a cache may be below its roofline.")
    return notes


def _left_out(rows: pd.DataFrame) -> list[str]:
    left_out = rows[rows["left_out"] != ""]
    notes = [f"{row['label']}: baseline not timed: {row['left_out']}." for _, row in left_out.iterrows()]
    return notes[:MOST_REASONS]


def _reasons(rows: pd.DataFrame) -> list[str]:
    failed = rows[rows["status"] != "ok"]
    notes = [
        f"{row['label']}: {row['status']}" + (f", {row['reason']}" if row["reason"] else "")
        for _, row in failed.iterrows()
    ]
    hidden = len(notes) - MOST_REASONS
    return notes[:MOST_REASONS] + ([f"and {hidden} more, see the CSV."] if hidden > 0 else [])


def _digits(value: float) -> str:
    return MISSING if math.isnan(value) else significant(value)
