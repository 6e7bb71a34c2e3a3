"""Training steps: a line for each backbone, size, batch and checkpointing; what checkpointing costs and saves."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from linbench.reports.latency.notes import commits, counted, disturbed, marks
from linbench.reports.latency.rows import conditions, significant
from linbench.reports.latency.summary import ratio, ratio_text
from linbench.reports.latency.table import latency, subject
from linbench.reports.render.table import MISSING, Table
from linbench.reports.statistics.quality import quality
from linbench.reports.training_step.rows import LARGEST

Row = Mapping[str, Any]
STEP = (
    "A step: forward, loss, backward, clipping and AdamW of the backbone and SAM's neck in training mode, under "
    "autocast where the dtype is not float32; the weights are float32 (docs/training-step.md)."
)
COUNTED = (
    "GFLOP: of the whole step, with the forward that checkpointing repeats. peak: above the process before its model."
)


def build(rows: pd.DataFrame) -> Table:
    """Return the table of one comparison of ``training_step.rows.rows``."""
    cells = [{str(name): value for name, value in row.items()} for row in rows.to_dict(orient="records")]
    notes = [*_conditions(rows), STEP, COUNTED, *marks(rows), *_idle(rows), *_reasons(rows)]
    columns: tuple[str, ...] = ("backbone", "size", "check-\npoint")
    lines: list[tuple[str, ...]]
    if is_largest(rows):
        columns += ("largest\nbatch", "per image", "images/s", "peak\nMiB")
        lines = [(*_point(row), row["batch"] or MISSING, *_measured(row)) for row in cells]
    else:
        columns += ("batch", "step", "images/s", "peak\nMiB", "GFLOP")
        lines = [(*_point(row), row["batch"], *_measured(row), row["gflops"] or MISSING) for row in cells]
        notes += effects(rows)
    return Table(title(rows), columns, tuple(lines), tuple(notes), tuple(disturbed(rows, "steps")))


def is_largest(rows: pd.DataFrame) -> bool:
    """Return whether the rows of one comparison are of largest batches."""
    return bool(conditions(rows).get("mode") == LARGEST)


def title(rows: pd.DataFrame) -> str:
    """Return the title of the rows of one comparison."""
    name = "Largest batch of a training step" if is_largest(rows) else "Training step of backbone and neck"
    return f"{name}: {subject(rows)}"


def effects(rows: pd.DataFrame) -> Iterator[str]:
    """Say for each pair of steps with and without checkpointing how their memory and time compare.

    The ratio of the times only where neither is in doubt; else why not.
    """
    ok = rows[rows["status"] == "ok"]
    for (label, size, batch), group in ok.groupby(["label", "size", "batch"], sort=False):
        cells = {str(row["gradient_checkpointing"]): row for row in group.to_dict(orient="records")}
        if cells.keys() >= {"none", "blocks"}:
            with_it, without = cells["blocks"], cells["none"]
            memory = ratio_text(with_it["peak_mib"] / without["peak_mib"])
            time = _time(with_it, without)
            yield f"{label} {size}, batch {batch}: checkpointing takes {memory} × the memory, {time}."


def _time(with_it: Mapping[Any, Any], without: Mapping[Any, Any]) -> str:
    doubt = quality(with_it).doubt or quality(without).doubt
    if doubt:
        return f"of its time nothing is stated: {doubt}"
    times = ratio(with_it, without)
    return f"{ratio_text(times.value)} × the time" + ("" if times.is_shown else ", which no test tells from 1")


def _point(row: Row) -> tuple[str, str, str]:
    return str(row["label"]), str(row["size"]), str(row["gradient_checkpointing"])


def _measured(row: Row) -> tuple[str, str, str]:
    """Return the time, the images per second and the peak of memory."""
    if row["status"] != "ok":
        return latency(row), MISSING, MISSING
    peak = f"{row['peak_mib']:.0f}" if row["peak_mib"] > 0 else MISSING
    return latency(row), significant(row["images_per_s"]), peak


def _conditions(rows: pd.DataFrame) -> list[str]:
    key = conditions(rows)
    limits = rows["limit_gib"].dropna()
    allowed = f"; memory {limits.min():.2f} GiB" if len(limits) else ""
    attention = rows.loc[rows["attention"] != "none", "attention"]
    described = f"; attention {counted(attention)}" if len(attention) else ""
    return [
        f"{key.get('device', 'unknown device')}; torch {counted(rows['torch'])}{described}{allowed}; "
        f"commit {commits(rows)}."
    ]


def _idle(rows: pd.DataFrame) -> list[str]:
    idle = rows[rows["without_gradient"] > 0].drop_duplicates("label")
    names = ", ".join(f"{row['label']} ({row['without_gradient']})" for _, row in idle.iterrows())
    return [f"Parameters that no gradient reaches, so that AdamW leaves them out: {names}."] if names else []


def _reasons(rows: pd.DataFrame) -> list[str]:
    failed = rows[rows["status"] != "ok"]
    return [
        f"{row['label']} {row['size']}" + (f", batch {row['batch']}" if row["batch"] else "") + f", "
        f"checkpointing {row['gradient_checkpointing']}: {row['status']}, {row['reason']}"
        for _, row in failed.iterrows()
    ]
