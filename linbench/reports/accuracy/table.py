"""Accuracy by suite and model: a line for each model, a column for each suite, protocol, size and data set."""

import math
from typing import Any

import pandas as pd

from linbench.reports.accuracy.rows import COLUMN
from linbench.reports.render.table import MISSING, Table

#: The metrics of each suite that the table shows, and their heads; the CSV has all.
SHOWN = {
    "coco": {"map": "mask AP", "mbap": "boundary AP"},
    **{name: {"miou": "mIoU", "mbiou": "mBIoU"} for name in ("dis", "coift", "hrsod")},
    "imagenet": {"top1": "top-1", "top5": "top-5"},
    "ade20k": {"miou": "mIoU", "pixel_accuracy": "pixel accuracy"},
}
MOST_REASONS = 12


def build(rows: pd.DataFrame) -> Table:
    """The table of the rows of one standing, from ``accuracy_rows.rows``."""
    names = [name for name in COLUMN if name in rows]
    rows = rows.assign(**{name: rows[name].astype(object).where(rows[name].notna(), "") for name in names})
    columns = _columns(rows)
    labels = list(dict.fromkeys(rows["label"]))
    heads = [f"{column['suite']} {name}\n{_way(column, columns)}" for column, _, name in columns]
    found = dict(iter(rows.groupby(["label", *names], sort=False, dropna=False)))
    lines = [
        (label, *(_cell(found.get((label, *column.values())), metric) for column, metric, _ in columns))
        for label in labels
    ]
    return Table(title(rows), ("model", *heads), tuple(lines), (*_conditions(rows, columns), *_marks(rows)))


def title(rows: pd.DataFrame) -> str:
    """What the rows of one standing are."""
    standing = rows["standing"].iloc[0]
    return "Accuracy" if not standing else f"Accuracy, comparable with nothing published: {standing}"


def _columns(rows: pd.DataFrame) -> list[tuple[dict[str, Any], str, str]]:
    """What each column is of, its metric and the metric's name, in the order of the rows."""
    names = [name for name in COLUMN if name in rows]
    found = rows[names].drop_duplicates().to_dict(orient="records")
    return [
        ({str(k): v for k, v in column.items()}, metric, name)
        for column in found
        for metric, name in SHOWN[column["suite"]].items()
    ]


def _way(column: dict[str, Any], columns: list[tuple[dict[str, Any], str, str]]) -> str:
    """The protocol and the size of a column, and the protocol's version where the table has several of it."""
    name, version = column["protocol"], column.get("protocol_version", "")
    versions = {other.get("protocol_version", "") for other, _, _ in columns if other["protocol"] == name}
    return f"{name}{f' (version {version})' if len(versions) > 1 else ''}, {column['size']}"


def _cell(mine: pd.DataFrame | None, metric: str) -> str:
    """What the rows of one model and one column say of a metric."""
    if mine is None:
        return MISSING
    found = mine[mine["metric"] == metric]
    if found.empty or math.isnan(found["value"].iloc[0]):
        return MISSING if (mine["status"] == "ok").all() else str(mine["status"].iloc[0])
    row = found.iloc[0]
    marks = ("†" if row["stale"] else "") + ("‡" if row["skipped"] else "") + ("!" if row["status"] != "ok" else "")
    interval = "" if math.isnan(row["low"]) else f" ({row['low']:.1f}–{row['high']:.1f})"
    return f"{row['value']:.2f}{marks}{interval}"


def _conditions(rows: pd.DataFrame, columns: list[tuple[dict[str, Any], str, str]]) -> list[str]:
    notes = ["In percent, with the 95 % interval over images; compared at the size of the original masks."]
    told: dict[str, dict[str, Any]] = {}
    for column, _, _ in columns:
        same = {k: v for k, v in column.items() if k not in ("size", "protocol", "protocol_version")}
        told.setdefault(str(same), column)
    for column in told.values():
        boxes = "" if column["box_source"] == "none" else f", boxes: {column['box_source']}"
        notes.append(
            f"{column['suite']} (version {column['suite_version']}): {column['dataset']} ({column['split']}), "
            f"n = {column['images']} images, data {str(column['dataset_checksum'])[:8]}{boxes}."
        )
    weights = rows.drop_duplicates(["label", "weights"]).groupby("weights", sort=False)["label"].agg(list)
    notes += [f"{', '.join(labels)}: {name}." for name, labels in weights.items()]
    ran = [f"{name} {', '.join(sorted(set(map(str, rows[name]))))}" for name in ("dtype", "device") if name in rows]
    return [*notes, f"{'; '.join(ran)}."]


def _marks(rows: pd.DataFrame) -> list[str]:
    notes = []
    if rows["stale"].any():
        notes.append("†: measured by other code than the present; --redo stale measures it again.")
    if rows["skipped"].any():
        notes.append("‡: bad images or annotations were skipped; the record lists them.")
    failed = rows[rows["status"] != "ok"].drop_duplicates(["label", "suite", "size", "protocol"])
    if (failed["metric"] != "").any():
        notes.append("!: the status is not ok; the number is of the images that could be used.")
    reasons = [f"{row['suite']}, {row['label']}: {row['status']}, {row['reason']}" for _, row in failed.iterrows()]
    left = len(reasons) - MOST_REASONS
    return [*notes, *reasons[:MOST_REASONS], *([f"and {left} more, see the CSV."] if left > 0 else [])]
