"""Records as comparable cells: their labels, their identity, and their number.

A latency or kernel record is one cell, an accuracy record one cell for each metric. Two cells are the same where
their keys agree on all but what the comparison ignores: the backbone where backbones are compared, the device where
devices are, and under the preset ``best`` the settings that each side's search chose.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from linbench.records import Record, Status, Store, as_number, key_hash
from linbench.reports.accuracy.rows import standing
from linbench.reports.latency.rows import SEARCHED, VARIES, WHOLE, phases, timings
from linbench.reports.statistics.latency_summary import Floats, LatencySummary, summarize
from linbench.reports.validation import ACCURACY_SUITES

#: Settings that the search for the preset ``best`` chooses.
CHOSEN = (*SEARCHED, "attention", "sdpa_backend", "fused")
#: Parts of a key that a comparison of backbones, of devices, or of two trainings ignores.
BACKBONES = (*(name for name in VARIES if name not in ("height", "width")), "checkpoint")
DEVICES = ("device", "device_type", "threads")
TRAININGS = ("checkpoint",)
#: The labels of a cell, in this order; ``size`` is height and width.
LABELS = (
    *("suite", "metric", "backbone", "op", "case", "direction", "part", "prompts", "fusion", "options", "size"),
    *("protocol", "dataset", "images", "box_source", "dtype", "preset", "mode", "impl", "attention"),
    *("matmul", "allocator", "memory_format", "compile", "fused", "threads", "device", "checkpoint"),
)


@dataclass(frozen=True)
class ComparableCell:
    """One number of one record.

    labels: Its key as text, by ``LABELS``.
    began, started: Start of the first and of the last of its rounds.
    key: Its key, with the metric of a score.
    standing: Of a score: why it compares with nothing published, see ``accuracy.rows.standing``.
    times: Of a timed cell that is ok.
    value, low, high: Of a score, in its unit; NaN where there is none.
    scores: Of single images by id, in that unit, where the value is their mean.
    peak_mib, parameters_m: Of a timed cell.
    """

    labels: Mapping[str, str]
    key: Mapping[str, Any]
    status: str
    reason: str
    began: str
    started: str
    commit: str
    searched: str
    standing: str
    times: LatencySummary | None = None
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    scores: Mapping[str, float] | None = None
    peak_mib: float = math.nan
    parameters_m: float = math.nan

    @property
    def is_timed(self) -> bool:
        """Whether its suite measures times."""
        return "metric" not in self.key

    @property
    def estimate(self) -> float:
        """The median in ms, or the score."""
        return self.value if self.times is None else self.times.median

    @property
    def bounds(self) -> tuple[float, float]:
        """The 95 % interval of the estimate."""
        return (self.low, self.high) if self.times is None else (self.times.low, self.times.high)


@dataclass(frozen=True)
class Side:
    """The cells of one side, by identity.

    duplicates: Cells that share an identity, so that none of them is compared.
    """

    cells: Mapping[str, ComparableCell]
    duplicates: Mapping[str, list[ComparableCell]]

    @property
    def all_duplicates(self) -> list[ComparableCell]:
        """The cells that share an identity, in one list."""
        return [cell for group in self.duplicates.values() for cell in group]


def group_cells(cells: Iterable[ComparableCell], ignored: Sequence[str]) -> Side:
    """Group cells by identity; of two with one key, and of two searches, the later counts."""
    latest: dict[str, ComparableCell] = {}
    for cell in cells:
        digest = key_hash(cell.key)
        latest[digest] = max(cell, latest.get(digest, cell), key=lambda other: other.started)
    groups: dict[str, list[ComparableCell]] = {}
    for cell in latest.values():
        groups.setdefault(identity(cell.key, ignored), []).append(cell)
    unique, duplicates = {}, {}
    for name, group in groups.items():
        last_search = max(cell.searched for cell in group)
        newest = [cell for cell in group if cell.searched == last_search]
        if len(newest) == 1:
            unique[name] = newest[0]
        else:
            duplicates[name] = newest
    return Side(unique, duplicates)


def identity(key: Mapping[str, Any], ignored: Sequence[str]) -> str:
    """Return a key without ``ignored`` and without the settings that a search chose, as text."""
    left_out = {*ignored, *(CHOSEN if key.get("preset") == "best" else ())}
    return json.dumps({k: v for k, v in key.items() if k not in left_out}, sort_keys=True)


def comparable_cells(records: Iterable[Record]) -> tuple[list[ComparableCell], list[str]]:
    """Return the cells of all records with times or scores, and a fault for each record that gives none."""
    cells: list[ComparableCell] = []
    faults = []
    for record in records:
        try:
            if record.key.get("suite") in ("latency", "kernels"):
                cells.append(_timed_cell(record))
            elif record.key.get("suite") in ACCURACY_SUITES:
                cells += _scored_cells(record)
        except (KeyError, TypeError, ValueError) as error:
            faults.append(f"a record of {record.key.get('backbone', record.key.get('op'))!s:.60}: {error}")
    return cells, faults


def read_cells(folder: Path) -> tuple[list[ComparableCell], list[str]]:
    """Return the cells of a results folder, and a fault for each file and record that gives none."""
    store = Store(folder)
    cells, faults = comparable_cells(list(store))
    return cells, [*(f"{path}: {reason}" for path, reason in store.faults), *(f"{folder}: {f}" for f in faults)]


def _timed_cell(record: Record) -> ComparableCell:
    samples = [times for entry in record.rounds if (times := timings(entry))]
    is_ok = record.status is Status.OK and bool(samples) and len(samples) == len(record.rounds)
    key = {**WHOLE, **record.key} if record.key["suite"] == "latency" else dict(record.key)
    parameters = record.metrics.get("parameters", {}).get("value")
    return ComparableCell(
        **_common(record, key),
        times=summarize(samples) if is_ok else None,
        peak_mib=phases(record.rounds)["peak_mib"],
        parameters_m=as_number(parameters) / 1e6,
    )


def _scored_cells(record: Record) -> Iterable[ComparableCell]:
    first = record.rounds[0] if record.rounds else {}
    columns = first.get("scores")
    for name, metric in (record.metrics or {"": {}}).items():
        value, low, high = (as_number(metric.get(part)) for part in ("value", "low", "high"))
        common = _common(record, {**record.key, "metric": f"{record.key['suite']}_{name}"})
        images = _image_scores(columns, name, value) if isinstance(columns, Mapping) else None
        yield ComparableCell(**common, value=value, low=low, high=high, scores=images)


def _image_scores(columns: Mapping[str, Any], metric: str, value: float) -> Mapping[str, float] | None:
    """Return each image's score by id, in percent; None where their mean is not the metric, as with COCO's AP."""
    column = columns.get(metric, columns.get(metric.removeprefix("m")))
    ids = columns.get("id")
    if not isinstance(column, list) or not isinstance(ids, list) or not len(set(ids)) == len(ids) == len(column) > 0:
        return None
    scores: Floats = 100 * np.asarray(column, dtype=np.float64)
    if not abs(float(scores.mean()) - value) < 1e-6:
        return None
    return dict(zip(map(str, ids), scores.tolist(), strict=True))


def _common(record: Record, key: Mapping[str, Any]) -> dict[str, Any]:
    key_hash(key)  # raises ValueError where the key holds NaN or infinity
    if type(key.get("suite_version", 0)) is not int:
        raise ValueError(f"its suite_version is {key['suite_version']!r:.40}, not a whole number")
    checkpoint = record.environment.get("checkpoint")
    started = [str(entry.get("started", "")) for entry in record.rounds]
    return {
        "labels": {name: _label(key, name) for name in LABELS},
        "key": key,
        "status": record.status.value,
        "reason": record.reason,
        "began": min(started, default=""),
        "started": max(started, default=""),
        "commit": str(record.environment.get("git_commit", "")),
        "searched": str(record.search.get("started", "")),
        "standing": standing(key, checkpoint if isinstance(checkpoint, Mapping) else {}),
    }


def _label(key: Mapping[str, Any], name: str) -> str:
    if name == "size":
        return format_size(key["height"], key["width"]) if "height" in key else ""
    value = key.get(name, "")
    if name == "checkpoint":
        return str(value)[:12]
    if isinstance(value, Mapping):
        return " ".join(f"{k}={v}" for k, v in sorted(value.items()))
    return str(value)


def format_size(height: int, width: int) -> str:
    """Return a size as a reader sees it: ``1024²`` or ``768×1024``."""
    return f"{height}²" if height == width else f"{height}×{width}"
