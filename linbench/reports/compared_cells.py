"""Records as cells that may be compared: what each is called, what makes two of them the same cell, what is known.

A record of times is one cell, one of accuracy a cell for each metric. Two cells are the same where their keys are,
without what a comparison leaves out: the backbone where backbones are compared, the device where devices are, and
under the preset ``best`` the settings that the search of each side has found.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from linbench.records import Record, Status, key_hash
from linbench.reports.accuracy_rows import SUITES, standing
from linbench.reports.rows import SEARCHED, VARIES, WHOLE, phases, timings
from linbench.reports.statistics import Floats, Summary, summarise

FOUND = (*SEARCHED, "attention", "sdpa_backend", "fused")  # by the search for ``best``
#: Parts of a key that a comparison of backbones, of devices, or of two trainings leaves out.
BACKBONES = (*(name for name in VARIES if name not in ("height", "width")), "checkpoint")
DEVICES = ("device", "device_type", "threads")
TRAININGS = ("checkpoint",)
#: What a cell may be called by, in this order; ``size`` is height and width.
NAMES = (
    *("suite", "metric", "backbone", "op", "case", "direction", "part", "prompts", "fusion", "options", "size"),
    *("protocol", "dataset", "images", "box_source", "dtype", "preset", "mode", "impl", "attention"),
    *("matmul", "allocator", "memory_format", "compile", "fused", "threads", "device", "checkpoint"),
)


@dataclass(frozen=True)
class Cell:
    """What one record says of one number.

    names: Its key in words, by ``NAMES``.
    began, started: When the first of its rounds began, and the last.
    key: Its key, with the metric of a score.
    standing: Of a score: why it compares with nothing published, see ``accuracy_rows.standing``.
    times: Of a cell that was timed and is ok.
    value, low, high: Of a score, in its unit; NaN where there is none.
    scores: Of single images by id, in that unit, where the value is their mean.
    peak_mib, parameters_m: Of a cell that was timed.
    """

    names: Mapping[str, str]
    key: Mapping[str, Any]
    status: str
    reason: str
    began: str
    started: str
    commit: str
    searched: str
    standing: str
    times: Summary | None = None
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    scores: Mapping[str, float] | None = None
    peak_mib: float = math.nan
    parameters_m: float = math.nan

    @property
    def timed(self) -> bool:
        """Whether it is of a suite of times."""
        return "metric" not in self.key

    @property
    def number(self) -> float:
        """The median in ms, or the score."""
        return self.value if self.times is None else self.times.median


@dataclass(frozen=True)
class Side:
    """The cells of one side, by identity.

    crowded: Identities that several cells have, with what those are called; none of them is compared.
    """

    cells: Mapping[str, Cell]
    crowded: Mapping[str, list[Cell]]


def side(cells: Iterable[Cell], ignoring: Sequence[str]) -> Side:
    """The cells by what is left of their keys without ``ignoring``; of two with one key the later counts."""
    latest: dict[str, Cell] = {}
    for cell in cells:
        whole = key_hash(cell.key)
        latest[whole] = max(cell, latest.get(whole, cell), key=lambda one: one.started)
    groups: dict[str, list[Cell]] = {}
    for cell in latest.values():
        groups.setdefault(identity(cell.key, ignoring), []).append(cell)
    alone, crowded = {}, {}
    for name, group in groups.items():
        last = max(cell.searched for cell in group)
        kept = [cell for cell in group if cell.searched == last]
        if len(kept) == 1:
            alone[name] = kept[0]
        else:
            crowded[name] = kept
    return Side(alone, crowded)


def identity(key: Mapping[str, Any], ignoring: Sequence[str]) -> str:
    """What is left of a key without ``ignoring`` and what a search has found, as text."""
    left_out = {*ignoring, *(FOUND if key.get("preset") == "best" else ())}
    return json.dumps({k: v for k, v in key.items() if k not in left_out}, sort_keys=True)


def cells(records: Iterable[Record]) -> tuple[list[Cell], list[str]]:
    """The cells of all records that hold times or scores, and what was wrong with those left out."""
    found: list[Cell] = []
    faults = []
    for record in records:
        try:
            if record.key.get("suite") in ("latency", "kernels"):
                found.append(_timed(record))
            elif record.key.get("suite") in SUITES:
                found += _scored(record)
        except (KeyError, TypeError, ValueError) as error:
            faults.append(f"a record of {record.key.get('backbone', record.key.get('op'))!s:.60}: {error}")
    return found, faults


def _timed(record: Record) -> Cell:
    samples = [found for entry in record.rounds if (found := timings(entry))]
    ok = record.status is Status.OK and bool(samples) and len(samples) == len(record.rounds)
    key = {**WHOLE, **record.key} if record.key["suite"] == "latency" else dict(record.key)
    parameters = record.metrics.get("parameters", {}).get("value")
    return Cell(
        **_common(record, key),
        times=summarise(samples) if ok else None,
        peak_mib=phases(record.rounds)["peak_mib"],
        parameters_m=_number(parameters) / 1e6,
    )


def _scored(record: Record) -> Iterable[Cell]:
    first = record.rounds[0] if record.rounds else {}
    columns = first.get("scores")
    for name, metric in (record.metrics or {"": {}}).items():
        value, low, high = (_number(metric.get(part)) for part in ("value", "low", "high"))
        common = _common(record, {**record.key, "metric": f"{record.key['suite']}_{name}"})
        images = _of_images(columns, name, value) if isinstance(columns, Mapping) else None
        yield Cell(**common, value=value, low=low, high=high, scores=images)


def _of_images(columns: Mapping[str, Any], metric: str, value: float) -> Mapping[str, float] | None:
    """The score of each image by id, in percent; None where their mean is not the metric, as with COCO's AP."""
    column = columns.get(metric, columns.get(metric.removeprefix("m")))
    ids = columns.get("id")
    if not isinstance(column, list) or not isinstance(ids, list) or not len(set(ids)) == len(ids) == len(column) > 0:
        return None
    scores: Floats = 100 * np.asarray(column, dtype=np.float64)
    if not abs(float(scores.mean()) - value) < 1e-6:
        return None
    return dict(zip(map(str, ids), scores.tolist(), strict=True))


def _common(record: Record, key: Mapping[str, Any]) -> dict[str, Any]:
    key_hash(key)  # raises ValueError where it holds a number that is none
    if type(key.get("suite_version", 0)) is not int:
        raise ValueError(f"its suite_version is {key['suite_version']!r:.40}, no whole number")
    checkpoint = record.environment.get("checkpoint")
    started = [str(entry.get("started", "")) for entry in record.rounds]
    return {
        "names": {name: _word(key, name) for name in NAMES},
        "key": key,
        "status": record.status.value,
        "reason": record.reason,
        "began": min(started, default=""),
        "started": max(started, default=""),
        "commit": str(record.environment.get("git_commit", "")),
        "searched": str(record.search.get("started", "")),
        "standing": standing(key, checkpoint if isinstance(checkpoint, Mapping) else {}),
    }


def _word(key: Mapping[str, Any], name: str) -> str:
    if name == "size":
        if "height" not in key:
            return ""
        height, width = key["height"], key["width"]
        return f"{height}²" if height == width else f"{height}×{width}"
    value = key.get(name, "")
    if name == "checkpoint":
        return str(value)[:12]
    if isinstance(value, Mapping):
        return " ".join(f"{k}={v}" for k, v in sorted(value.items()))
    return str(value)


def _number(value: Any) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else math.nan
