"""Accuracy records as one row for each metric, and which of them may share a table.

| column | meaning |
|---|---|
| ``standing`` | why the numbers compare with nothing published, as text; empty where they do |
| ``suite``, ``metric``, ``value``, ``low``, ``high``, ``n`` | in percent; the ends of the 95 % interval over images |
| ``label`` | the model, with what distinguishes it from others whose numbers share a column |
| ``protocol``, ``dataset``, ``images``, ``box_source`` | the measurement: numbers share a column where all agree |
| ``weights`` | the checkpoint's file, recipe and first digits of its SHA-256, or ``random`` |
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from linbench.records import Record, as_number, key_hash, preferred_by_key
from linbench.reports.latency.rows import measured
from linbench.reports.validation import ACCURACY_SUITES, accuracy_key

EMBEDDED = "shapes"
#: The parts of a key that define a column of a table.
COLUMN = (
    *("suite", "protocol", "protocol_version", "suite_version", "size", "dataset", "split", "dataset_checksum"),
    *("images", "box_source", "box_checksum"),
)
#: The parts of a key that may distinguish models in one column, beside the backbone and the fusion.
DISTINGUISHING = ("options", "dtype", "impl", "attention", "weights", "device", "threads")


def rows(records: Iterable[Record], code_hashes: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return one row for each metric of each record; a record without metrics has one row without a value.

    code_hashes: The present hash of the measuring code by ``latency.rows.measured``; a row of another hash is
        ``stale``.

    Raises BadRecord where a row cannot be made of a record.
    """
    scored = (record for record in records if record.key.get("suite") in ACCURACY_SUITES)
    chosen = preferred_by_key(scored, accuracy_key)
    frame = pd.DataFrame([row for record in chosen.values() for row in _rows(record, code_hashes or {})])
    if frame.empty:
        return frame
    frame["label"] = _labels(frame)
    frame["_suite"] = frame["suite"].map({name: position for position, name in enumerate(ACCURACY_SUITES)})
    order = ["standing", "_suite", "protocol", "pixels", "label"]
    return frame.sort_values(order, kind="stable").drop(columns="_suite").reset_index(drop=True)


def _rows(record: Record, code_hashes: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    key = record.key
    parts: dict[str, Any] = {**dict.fromkeys(COLUMN, ""), "box_source": "none", "fusion": "none"}
    parts |= {name: key[name] for name in (*COLUMN, "backbone", *DISTINGUISHING) if name in key}
    height, width = int(key.get("height", 0)), int(key.get("width", 0))
    present = code_hashes.get(measured(key))
    checkpoint: Any = record.environment.get("checkpoint") or {}
    shared = {
        **{name: str(value) if isinstance(value, list | dict) else value for name, value in parts.items()},
        "options": json.dumps(key.get("options") or {}, sort_keys=True),
        "size": f"{height}²" if height == width else f"{height}×{width}",
        "pixels": height * width,
        "weights": _weights(key, checkpoint),
        "recipe_hash": str(checkpoint.get("recipe_hash") or ""),
        "standing": standing(key, checkpoint),
        "status": str(record.status),
        "reason": record.reason,
        "stale": present is not None and present != record.code_hash,
        "skipped": sum(len(entry.get("skipped", ())) for entry in record.rounds),
        "key_hash": key_hash(key),
    }
    for name, metric in (record.metrics or {"": {}}).items():
        yield {**shared, "metric": name, **{n: as_number(metric.get(n)) for n in ("value", "low", "high", "n")}}


def standing(key: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> str:
    """Return why numbers compare with nothing published: random weights, a smoke recipe, the embedded dataset."""
    reasons = []
    if checkpoint.get("random") or str(key.get("checkpoint", "")).startswith("random"):
        reasons.append("random weights")
    if checkpoint.get("scale") == "smoke":
        reasons.append("smoke recipes")
    if key.get("dataset") == EMBEDDED:
        reasons.append("the embedded dataset")
    return ", ".join(reasons)


def _weights(key: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> str:
    digest = str(key.get("checkpoint", ""))
    if digest.startswith("random"):
        return f"random (seed {digest.removeprefix('random-')})"
    origin = ", ".join(
        filter(None, [digest[:8], *(str(checkpoint.get(name) or "") for name in ("weights", "recipe"))])
    )
    return f"{checkpoint.get('file') or 'a file'} ({origin})"


def _labels(frame: pd.DataFrame) -> list[str]:
    """Return the backbone and, where rows of one column and metric would share a label, what distinguishes them."""
    labels = [
        row["backbone"] + (f" + {row['fusion']}" if row.get("fusion") not in ("none", "conv") else "")
        for row in frame.to_dict("records")
    ]
    cells = [frame[name].astype(str) for name in (*COLUMN, "metric", "standing") if name in frame]
    for part in (name for name in DISTINGUISHING if name in frame):
        same = pd.Series(labels, index=frame.index)
        values = frame[part].astype(str)
        differs = values.groupby([same, *cells]).transform("nunique") > 1
        split = set(same[differs])  # everywhere that label stands, so that it names one model
        labels = [f"{label}, {values.iloc[i]}" if label in split else label for i, label in enumerate(labels)]
    return labels
