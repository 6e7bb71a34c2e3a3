"""Records as comparable cells: their labels, their identity, and their number.

A record of latency, throughput or a kernel is one cell, one of accuracy a cell for each metric. Two cells are the
same where their keys agree on all but what the comparison ignores: the backbone where backbones are compared, the
device where devices are, and under the preset ``best`` the settings that each side's search chose.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from linbench.records import Record, Status, as_number, key_hash, preferred
from linbench.reports.accuracy.rows import standing
from linbench.reports.latency.rows import SEARCHED, SEARCHES, VARIES, WHOLE, measured, phases, timings
from linbench.reports.statistics.latency_summary import Floats, LatencySummary, summarize
from linbench.reports.statistics.quality import Quality, quality
from linbench.reports.validation import ACCURACY_SUITES

#: Settings that the search for the preset ``best`` chooses.
CHOSEN = (*SEARCHED, "attention", "sdpa_backend", "fused")
TIMED = ("latency", "throughput", "kernels")  # suites
#: Parts of a key that a comparison of backbones, of devices, or of two trainings ignores.
BACKBONES = (*(name for name in VARIES if name not in ("height", "width")), "checkpoint")
DEVICES = ("device", "device_type", "threads")
TRAININGS = ("checkpoint",)
#: The labels of a cell, in this order; ``size`` is height and width.
LABELS = (
    *("suite", "metric", "backbone", "op", "case", "direction", "part", "prompts", "fusion", "options", "size"),
    *("protocol", "dataset", "images", "box_source", "dtype", "preset", "mode", "impl", "attention"),
    *(
        "engine",
        "engine_version",
        "matmul",
        "allocator",
        "memory_format",
        "compile",
        "fused",
        "threads",
        "device",
        "checkpoint",
    ),
)


@dataclass(frozen=True)
class ComparableCell:
    """One number of one record.

    key: The record's key, with the metric of a score.
    labels: The key as text, by ``LABELS``.
    is_stale: Whether the measuring code has changed since.
    times, quality: Of a timed cell that is ok.
    value, low, high: Of a score, in its unit; NaN where there is none.
    scores: Of single images by id, in that unit, where the value is their mean.
    peak_mib, parameters_m: Of a timed cell.
    """

    record: Record
    key: Mapping[str, Any]
    labels: Mapping[str, str]
    is_stale: bool
    times: LatencySummary | None = None
    quality: Quality | None = None
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    scores: Mapping[str, float] | None = None
    peak_mib: float = math.nan
    parameters_m: float = math.nan

    @cached_property
    def standing(self) -> str:
        """Why a score compares with nothing published, see ``accuracy.rows.standing``."""
        checkpoint = self.record.environment.get("checkpoint")
        return standing(self.key, checkpoint if isinstance(checkpoint, Mapping) else {})

    @property
    def status(self) -> str:
        """The outcome."""
        return self.record.status.value

    @property
    def reason(self) -> str:
        """Why the outcome is not ok."""
        return self.record.reason

    @cached_property
    def span(self) -> tuple[str, str]:
        """The start of the first and of the last round; empty where unknown."""
        started = [str(entry.get("started", "")) for entry in self.record.rounds]
        return min(started, default=""), max(started, default="")

    @property
    def commit(self) -> str:
        """The git commit that measured it."""
        return str(self.record.environment.get("git_commit", ""))

    @property
    def searched(self) -> str:
        """The start of the search that chose its settings."""
        return str(self.record.search.get("started", ""))

    @property
    def is_timed(self) -> bool:
        """Whether its suite measures times."""
        return "metric" not in self.key

    @property
    def estimate(self) -> float:
        """The median in ms, of a throughput per image; or the score."""
        return self.value if self.times is None else self.times.median

    @property
    def bounds(self) -> tuple[float, float]:
        """The 95 % interval of the estimate; NaN where it is unknown."""
        return (self.low, self.high) if self.times is None else (self.times.low, self.times.high)

    @property
    def doubt(self) -> str:
        """Why nothing may be derived from its time; empty where it may, and of a score."""
        return self.quality.doubt if self.quality else ""


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
    """Group cells by identity; of several with one key the preferred record counts, of two searches the later."""
    outcomes: dict[str, list[ComparableCell]] = {}
    for cell in cells:
        outcomes.setdefault(key_hash(cell.key), []).append(cell)
    groups: dict[str, list[ComparableCell]] = {}
    for same in outcomes.values():
        shown = preferred([cell.record for cell in same])
        cell = next(cell for cell in same if cell.record is shown)
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
    left_out = {*ignored, *(CHOSEN if key.get("preset") in SEARCHES else ())}
    return json.dumps({k: v for k, v in key.items() if k not in left_out}, sort_keys=True)


def comparable_cells(
    records: Iterable[Record], code_hashes: Mapping[str, str] | None = None
) -> tuple[list[ComparableCell], list[str]]:
    """Return the cells of all records with times or scores, and a fault for each record that gives none.

    code_hashes: The present hash of the measuring code by ``measured``; a cell of another one is stale.
    """
    cells: list[ComparableCell] = []
    faults = []
    for record in records:
        try:
            if record.key.get("suite") in TIMED:
                cells.append(_timed_cell(record, code_hashes or {}))
            elif record.key.get("suite") in ACCURACY_SUITES:
                cells += _scored_cells(record, code_hashes or {})
        except (KeyError, TypeError, ValueError) as error:
            faults.append(f"a record of {record.key.get('backbone', record.key.get('op'))!s:.60}: {error}")
    return cells, faults


def _timed_cell(record: Record, code_hashes: Mapping[str, str]) -> ComparableCell:
    samples = [times for entry in record.rounds if (times := timings(entry))]
    is_ok = record.status is Status.OK and bool(samples) and len(samples) == len(record.rounds)
    key = dict(record.key) if "op" in record.key else {**WHOLE, **record.key}
    parameters = record.metrics.get("parameters", {}).get("value")
    once = phases(record.rounds)
    common = _common(record, key, code_hashes)
    converged = all(entry.get("converged") is True for entry in record.rounds)
    return ComparableCell(
        *common,
        times=summarize(samples) if is_ok else None,
        quality=quality({**once, "rounds": len(samples), "converged": converged, "stale": common[-1]})
        if is_ok
        else None,
        peak_mib=once["peak_mib"],
        parameters_m=as_number(parameters) / 1e6,
    )


def _scored_cells(record: Record, code_hashes: Mapping[str, str]) -> Iterable[ComparableCell]:
    first = record.rounds[0] if record.rounds else {}
    columns = first.get("scores")
    for name, metric in (record.metrics or {"": {}}).items():
        value, low, high = (as_number(metric.get(part)) for part in ("value", "low", "high"))
        common = _common(record, {**record.key, "metric": f"{record.key['suite']}_{name}"}, code_hashes)
        images = _image_scores(columns, name, value) if isinstance(columns, Mapping) else None
        yield ComparableCell(*common, value=value, low=low, high=high, scores=images)


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


def _common(
    record: Record, key: dict[str, Any], code_hashes: Mapping[str, str]
) -> tuple[Record, Mapping[str, Any], Mapping[str, str], bool]:
    """Return record, key, labels and staleness of a cell; raise ValueError where the key cannot be compared."""
    key_hash(key)  # raises ValueError where the key holds NaN or infinity
    if type(key.get("suite_version", 0)) is not int:
        raise ValueError(f"its suite_version is {key['suite_version']!r:.40}, not a whole number")
    present = code_hashes.get(measured(key, "op" if "op" in key else "backbone"))
    is_stale = present is not None and present != record.code_hash
    return record, key, {name: _label(key, name) for name in LABELS}, is_stale


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
