"""Joules of one image on each device that has a counter, with the idle device's share (MEASUREMENT.md, rule 15)."""

import math

import pandas as pd

from linbench.reports.latency.rows import significant
from linbench.reports.latency.table import subject, timed
from linbench.reports.render.table import MISSING, Table


def build(rows: pd.DataFrame) -> Table | None:
    """A line for each model, a column for each resolution: "12.3 J (31 % idle)"; None where nothing was counted."""
    if rows["joules_per_image"].isna().all():
        return None
    sizes = [str(size) for size in rows.sort_values(["pixels", "height"])["size"].unique()]
    lines = []
    for label, group in rows.groupby("label", sort=False):
        by_size = {str(row["size"]): row for _, row in group.iterrows()}
        lines.append((str(label), *(_cell(by_size.get(size)) for size in sizes)))
    notes = (
        "Of the whole board or processor package by its own counter, one image at a time for ten seconds or more; "
        "in brackets the share that the device at rest would have taken. Medians over the rounds.",
    )
    return Table(f"Energy for one image, {timed(rows)}: {subject(rows)}", ("backbone", *sizes), tuple(lines), notes)


def _cell(row: pd.Series | None) -> str:
    if row is None or math.isnan(row["joules_per_image"]):
        return MISSING
    return f"{significant(row['joules_per_image'])} J ({100 * row['idle_share']:.0f} % idle)"
