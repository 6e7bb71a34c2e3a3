"""Training-step records as a table with one row each: the columns of a latency, and those below.

| column | contains |
|---|---|
| ``mode`` | ``training step``, or ``largest batch`` |
| ``batch`` | images in a step; of the largest batch the distinct ones of the rounds by comma |
| ``gradient_checkpointing`` | ``none`` or ``blocks`` |
| ``images_per_s``, ``low_per_s``, ``high_per_s`` | the estimate and its 95 % interval |
| ``median_ms``, ``low_ms``, ``high_ms`` | of a step; of the largest batch per image, as its rounds may differ in it |
| ``largest`` | the smallest of the rounds' largest batches; NaN in the other mode |
| ``limit_gib`` | what a step was allowed to take |
| ``without_gradient`` | parameters that no gradient reaches |

Rows of one comparison may differ in batch and checkpointing, as in the model and the resolution.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from linbench.records import Record
from linbench.reports.latency.rows import key_digest, timings
from linbench.reports.latency.rows import rows as latency_rows

SUITE = "training-step"
LARGEST = "largest batch"
VARIES = ("batch", "gradient_checkpointing")


def rows(records: Iterable[Record], code_hashes: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return one row for each record of the suite, as ``latency.rows.rows`` does.

    Raises BadRecord where a key lacks a backbone, a height or a width.
    """
    reported = [_per_image(record) for record in records if record.key.get("suite") == SUITE]
    frame = latency_rows(reported, code_hashes, SUITE)
    if frame.empty:
        return frame
    behind = {key_digest(record): record for record in reported}
    added = pd.DataFrame([_added(behind[digest]) for digest in frame["key_hash"]], index=frame.index)
    frame = frame.drop(columns=[name for name in added if name in frame]).join(added)
    images = frame["largest"].where(frame["mode"] == LARGEST, pd.to_numeric(frame["batch"], errors="coerce"))
    per_ms = 1e3 * images.where(frame["mode"] != LARGEST, 1)
    frame["images_per_s"] = per_ms / frame["median_ms"]
    frame["low_per_s"], frame["high_per_s"] = per_ms / frame["high_ms"], per_ms / frame["low_ms"]
    frame["comparison"] = [_without(comparison) for comparison in frame["comparison"]]
    return _sorted(frame, images)


def _sorted(frame: pd.DataFrame, images: "pd.Series[float]") -> pd.DataFrame:
    """Return the rows by comparison, model, resolution and batch; a step without checkpointing comes first."""
    labels = {label: number for number, label in enumerate(dict.fromkeys(frame["label"]))}
    order = {
        "_label": frame["label"].map(labels),
        "_images": images,
        "_checkpointed": frame["gradient_checkpointing"] != "none",
    }
    by = ["comparison", "_label", "pixels", "height", "_images", "_checkpointed"]
    return frame.assign(**order).sort_values(by, kind="stable").drop(columns=[*order]).reset_index(drop=True)


def _per_image(record: Record) -> Record:
    """Return a record of a largest batch with its times per image; any other as it is."""
    if record.key.get("mode") != LARGEST:
        return record
    return replace(record, rounds=tuple(_divided(entry) for entry in record.rounds))


def _divided(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    samples, batch = timings(entry), _batch(entry)
    return entry if samples is None or batch is None else {**entry, "samples_ms": [ms / batch for ms in samples]}


def _batch(entry: Mapping[str, Any]) -> int | None:
    batch = entry.get("batch")
    return batch if type(batch) is int and batch > 0 else None


def _added(record: Record) -> dict[str, Any]:
    """Return the columns that a latency does not have."""
    batches = sorted({batch for entry in record.rounds if (batch := _batch(entry)) is not None})
    is_largest = record.key.get("mode") == LARGEST
    limits = [entry["limit_gib"] for entry in record.rounds if isinstance(entry.get("limit_gib"), int | float)]
    idle = [entry.get("parameters_without_gradient") for entry in record.rounds]
    return {
        "batch": ", ".join(map(str, batches)) if is_largest else str(record.key.get("batch", "")),
        "largest": float(batches[0]) if is_largest and batches else math.nan,
        "limit_gib": min(limits) if limits else record.key.get("memory_limit_gib") or math.nan,
        "without_gradient": max((count for count in idle if type(count) is int), default=0),
    }


def _without(comparison: str) -> str:
    """Return the text of a comparison without the entries that vary in a training step's."""
    entries = json.loads(comparison)
    return json.dumps({name: value for name, value in entries.items() if name not in VARIES}, sort_keys=True)
