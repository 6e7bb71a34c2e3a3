"""Accuracy records as one row for each metric, and which of them may stand in one table.

| column | what |
|---|---|
| ``standing`` | why the numbers compare with nothing published, in words; empty where they do |
| ``suite``, ``metric``, ``value``, ``low``, ``high``, ``n`` | in percent; the ends of the 95 % interval over images |
| ``label`` | the model, with what tells it from others whose numbers share a column |
| ``protocol``, ``dataset``, ``images``, ``box_source`` | what was measured: numbers share a column where all agree |
| ``weights`` | the checkpoint's file, recipe and first digits of its SHA-256, or ``random`` |
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from linbench.records import BadRecord, Record, key_hash
from linbench.reports.rows import measured

SUITES = ("coco", "dis", "coift", "hrsod", "imagenet", "ade20k")
EMBEDDED = "shapes"
#: What is one column of a table: another protocol, data set, box file or size of the input is another column.
COLUMN = (
    *("suite", "protocol", "protocol_version", "suite_version", "size", "dataset", "split", "dataset_checksum"),
    *("images", "box_source", "box_checksum"),
)
#: What may tell models in one column apart beside the backbone, with how it is said.
TELLING = ("fusion", "options", "dtype", "impl", "attention", "weights", "device", "threads")


def rows(records: Iterable[Record], code_hashes: Mapping[str, str] | None = None) -> pd.DataFrame:
    """One row for each metric of each record; a record without metrics has one row without a value.

    code_hashes: The present hash of the measuring code by ``rows.measured``; a row of another one is ``stale``.
    """
    kept = {key_digest(record): record for record in records if record.key.get("suite") in SUITES}
    frame = pd.DataFrame([row for record in kept.values() for row in _rows(record, code_hashes or {})])
    if frame.empty:
        return frame
    frame["label"] = _labels(frame)
    frame["_suite"] = frame["suite"].map({name: place for place, name in enumerate(SUITES)})
    order = ["standing", "_suite", "protocol", "pixels", "label"]
    return frame.sort_values(order, kind="stable").drop(columns="_suite").reset_index(drop=True)


def _rows(record: Record, code_hashes: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    key = record.key
    whole: dict[str, Any] = {**dict.fromkeys(COLUMN, ""), "box_source": "none", "fusion": "none"}
    whole |= {name: key[name] for name in (*COLUMN, "backbone", *TELLING) if name in key}
    height, width = int(key.get("height", 0)), int(key.get("width", 0))
    present = code_hashes.get(measured(key))
    checkpoint: Any = record.environment.get("checkpoint") or {}
    shared = {
        **{name: str(value) if isinstance(value, list | dict) else value for name, value in whole.items()},
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
    metrics = record.metrics or {"": {}}
    for name, metric in metrics.items():
        numbers = {part: _number(metric.get(part)) for part in ("value", "low", "high", "n")}
        yield {**shared, "metric": name, **numbers}


def key_digest(record: Record) -> str:
    """The hash of an accuracy record's key; raises BadRecord where a row cannot be made of the record."""
    for name in ("backbone", "protocol", "dataset"):
        if not isinstance(record.key.get(name), str) or not record.key[name]:
            raise BadRecord(f"key: an accuracy record needs {name}, found {record.key.get(name)!r:.80}")
    for side in ("height", "width"):
        value = record.key.get(side)
        if type(value) is not int or not 0 < value < 2**20:
            raise BadRecord(f"key: {side} of {record.key['backbone']:.80} is {value!r:.80}; it counts px")
    if not all(isinstance(entry.get("skipped", []), list) for entry in record.rounds):
        raise BadRecord(f"rounds: what {record.key['backbone']:.80} skipped is no list")
    if not isinstance(record.environment.get("checkpoint") or {}, dict):
        raise BadRecord(f"environment: the checkpoint of {record.key['backbone']:.80} is no object")
    try:
        return key_hash(record.key)
    except ValueError as error:
        raise BadRecord(f"key: {record.key['backbone']:.80} holds a number that is none: {error}") from error


def standing(key: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> str:
    """Why a record's numbers compare with nothing published: random weights, a smoke recipe, the embedded set."""
    found = []
    if checkpoint.get("random") or str(key.get("checkpoint", "")).startswith("random"):
        found.append("random weights")
    if checkpoint.get("scale") == "smoke":
        found.append("smoke recipes")
    if key.get("dataset") == EMBEDDED:
        found.append("the embedded data set")
    return ", ".join(found)


def _weights(key: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> str:
    named = str(key.get("checkpoint", ""))
    if named.startswith("random"):
        return f"random (seed {named.removeprefix('random-')})"
    more = [str(checkpoint.get(name) or "") for name in ("weights", "recipe")]
    said = [str(checkpoint.get("file") or "a file"), named[:8], *filter(None, more)]
    return f"{said[0]} ({', '.join(said[1:])})"


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")


def _labels(frame: pd.DataFrame) -> list[str]:
    """The backbone, and of what tells two rows of one column and metric apart what these rows have."""
    columns = [name for name in COLUMN if name in frame]
    labels = [
        row["backbone"] + (f" + {row['fusion']}" if row.get("fusion") not in ("none", "conv") else "")
        for _, row in frame.iterrows()
    ]
    for part in (name for name in TELLING if name != "fusion" and name in frame):
        same = pd.Series(labels, index=frame.index)
        where = [frame[name].astype(str) for name in (*columns, "metric", "standing")]
        values = frame[part].astype(str)
        several = values.groupby([same, *where]).transform("nunique") > 1
        split = set(same[several])  # everywhere that label stands, so that it names one model
        labels = [f"{one}, {values.iloc[i]}" if one in split else one for i, one in enumerate(labels)]
    return labels
