"""Accuracy by suite and model: a line for each model, a column for each suite, protocol, size and dataset."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from linbench.published.dataset_sizes import missing_images
from linbench.records import as_number
from linbench.reports.accuracy.rows import COLUMN
from linbench.reports.render.table import MISSING, Table

#: The metrics of each suite that the table shows, and their heads; the CSV has all.
SHOWN = {
    "coco": {"map": "mask AP", "mbap": "boundary AP"},
    **{name: {"miou": "mIoU", "mbiou": "mBIoU"} for name in ("dis", "coift", "hrsod", "masks")},
    "imagenet": {"top1": "top-1", "top5": "top-5"},
    "ade20k": {"miou": "mIoU", "pixel_accuracy": "pixel accuracy"},
}
MOST_REASONS = 12
USER_SPLIT = "all"  # the split of data without a registration
FEWEST_IMAGES = 30  # below, an interval over images says little
FEW_IMAGES = "ᵇ"
FEW_IMAGES_NOTE = f"{FEW_IMAGES}: fewer than {FEWEST_IMAGES} images."


class Column(NamedTuple):
    """A column: the conditions by ``COLUMN``, the metric, and its head."""

    conditions: dict[str, Any]
    metric: str
    head: str


def build(rows: pd.DataFrame) -> Table:
    """Return the table of the rows of one standing, from ``accuracy.rows.rows``."""
    names = [name for name in COLUMN if name in rows]
    rows = rows.assign(**{name: rows[name].astype(object).where(rows[name].notna(), "") for name in names})
    measured = [{str(k): v for k, v in c.items()} for c in rows[names].drop_duplicates().to_dict(orient="records")]
    columns = [Column(c, metric, head) for c in measured for metric, head in SHOWN[c["suite"]].items()]
    heads = [f"{_data(c.conditions)} {c.head}\n{_boxes(c.conditions)}{_protocol(c, columns)}" for c in columns]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in ({str(k): v for k, v in r.items()} for r in rows.to_dict(orient="records")):
        groups.setdefault((row["label"], *(row[name] for name in names)), []).append(row)
    lines = [
        (label, *(_cell(groups.get((label, *c.conditions.values()), []), c.metric) for c in columns))
        for label in dict.fromkeys(rows["label"])
    ]
    return Table(title(rows), ("model", *heads), tuple(lines), (*_conditions(rows, measured), *_marks(rows)))


def title(rows: pd.DataFrame) -> str:
    """Return the title of the rows of one standing."""
    standing = rows["standing"].iloc[0]
    names = [_data(conditions) for conditions in rows.to_dict("records") if _is_user_data(conditions)]
    data = f": {', '.join(dict.fromkeys(names))}" if names else ""
    return f"Accuracy{data}" + (f", comparable with nothing published: {standing}" if standing else "")


def _is_user_data(conditions: Mapping[Any, Any]) -> bool:
    """Return whether a column is of data that the user named, not of the suite's published dataset."""
    return conditions["suite"] == "masks" or conditions.get("split") == USER_SPLIT


def _data(conditions: Mapping[Any, Any]) -> str:
    """Return what a column is of: the suite, or the name of the user's data."""
    return str(conditions["dataset" if _is_user_data(conditions) else "suite"])


def _boxes(conditions: Mapping[Any, Any]) -> str:
    """Return the boxes of a column of COCO where they are no detector's."""
    is_true = conditions["suite"] == "coco" and conditions.get("box_source") == "ground truth"
    return "true boxes, " if is_true else ""


def _protocol(column: Column, columns: list[Column]) -> str:
    """Return the protocol and the size of a column, and the protocol's version where the table has several of it."""
    name, version = column.conditions["protocol"], column.conditions.get("protocol_version", "")
    versions = {c.conditions.get("protocol_version", "") for c in columns if c.conditions["protocol"] == name}
    return f"{name}{f' (version {version})' if len(versions) > 1 else ''}, {column.conditions['size']}"


def _cell(rows: list[dict[str, Any]], metric: str) -> str:
    """Return the text of one model's rows in one column."""
    row = next((row for row in rows if row["metric"] == metric), None)
    if row is None or math.isnan(row["value"]):
        return MISSING if all(other["status"] == "ok" for other in rows) else str(rows[0]["status"])
    marks = ("†" if row["stale"] else "") + ("‡" if row["skipped"] else "") + ("!" if row["status"] != "ok" else "")
    marks += FEW_IMAGES if row["n"] < FEWEST_IMAGES else ""
    interval = "" if math.isnan(row["low"]) else f" ({row['low']:.1f}–{row['high']:.1f})"
    return f"{row['value']:.2f}{marks}{interval}"


def _conditions(rows: pd.DataFrame, measured: list[dict[str, Any]]) -> list[str]:
    notes = ["In percent, with the 95 % interval over images; measured at the size of the original masks."]
    for column in measured:
        boxes = "" if column["box_source"] == "none" else f", boxes: {column['box_source']}"
        notes.append(
            f"{column['suite']} (version {column['suite_version']}): {column['dataset']} ({column['split']}), "
            f"n = {column['images']} image{'s' * (column['images'] != 1)}, "
            f"data {str(column['dataset_checksum'])[:8]}{boxes}."
        )
        if incomplete := missing_images(str(column["dataset"]), as_number(column["images"])):
            notes.append(f"Incomplete: {incomplete}.")
    weights = rows.drop_duplicates(["label", "weights"]).groupby("weights", sort=False)["label"].agg(list)
    notes += [f"{', '.join(labels)}: {name}." for name, labels in weights.items()]
    ran = [f"{name} {', '.join(sorted(set(map(str, rows[name]))))}" for name in ("dtype", "device") if name in rows]
    return [*dict.fromkeys(notes), f"{'; '.join(ran)}."]


def _marks(rows: pd.DataFrame) -> list[str]:
    notes = [FEW_IMAGES_NOTE] if (rows["n"] < FEWEST_IMAGES).any() else []
    if rows["stale"].any():
        notes.append("†: measured by other code than the present; --redo stale measures it again.")
    if rows["skipped"].any():
        notes.append("‡: faulty images or annotations were skipped; the record lists them.")
    failed = rows[rows["status"] != "ok"].drop_duplicates(["label", "suite", "size", "protocol"])
    if (failed["metric"] != "").any():
        notes.append("!: the status is not ok; the number is over the images that could be used.")
    reasons = [f"{row['suite']}, {row['label']}: {row['status']}, {row['reason']}" for _, row in failed.iterrows()]
    hidden = len(reasons) - MOST_REASONS
    return [*notes, *reasons[:MOST_REASONS], *([f"and {hidden} more, see the CSV."] if hidden > 0 else [])]
