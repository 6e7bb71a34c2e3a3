"""Accuracy records as scores, and why one may not stand beside the paper's.

A score that is no answer to the paper, of the embedded set, of a shortened training, of random weights or of a part
of the images, says so in ``outside``; it goes to tables of its own.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from linbench.records import Record, Status

SUITES = ("coco", "dis", "coift", "hrsod", "imagenet", "ade20k")
EMBEDDED = "shapes"
#: Images of the paper's sets: the fewest and the most; COCO has 48 images without an object, which may be left out.
IMAGES = {
    "coco": (4952, 5000),
    "dis": (470, 470),
    "coift": (280, 280),
    "hrsod": (287, 287),
    "imagenet": (50_000, 50_000),
    "ade20k": (2000, 2000),
}


class BadScore(ValueError):
    """A record of an accuracy suite that says too little to be shown; its text says what lacks."""


@dataclass(frozen=True)
class Score:
    """One metric of one accuracy record.

    metric: ``dis_miou`` and the like, suite first.
    value, low, high: In percent; the interval is a bootstrap over the images, NaN where there is none.
    n: Images.
    conditions: What scores in one column share: protocol, input size, dtype, data set with checksum, boxes.
    recipe: Name and hash of the training; empty for weights that linbench did not train.
    pipeline: The recipes in a row that the training was the last of; empty where it was none.
    outside: Why it never stands beside the paper's numbers; empty where it may.
    """

    suite: str
    metric: str
    backbone: str
    options: str
    fusion: str
    status: str
    value: float
    low: float
    high: float
    n: int
    size: tuple[int, int]
    device: str
    conditions: Mapping[str, str]
    checkpoint: str
    recipe: tuple[str, str]
    pipeline: str
    seed: str
    outside: str
    started: str
    commit: str


def scores(records: Iterable[Record]) -> tuple[list[Score], list[str]]:
    """The scores of all accuracy records, and what was wrong with those left out."""
    found, faults = [], []
    for record in records:
        if record.key.get("suite") not in SUITES:
            continue
        try:
            found += _of(record)
        except BadScore as error:
            faults.append(f"a record of {record.key.get('backbone')!s:.60}, suite {record.key['suite']}: {error}")
    return found, faults


def _of(record: Record) -> list[Score]:
    key, weights = record.key, _object(record.environment.get("checkpoint"))
    for name in ("backbone", "device", "dataset", "protocol", "checkpoint"):
        if not isinstance(key.get(name), str) or not key[name]:
            raise BadScore(f"its key has no {name}")
    size = (key.get("height"), key.get("width"))
    if not all(isinstance(side, int) and 0 < side < 2**20 for side in size):
        raise BadScore(f"its height and width are {size!r:.60}; they count px")
    suite, first = str(key["suite"]), _object(record.rounds[0] if record.rounds else None)
    common: dict[str, Any] = {
        "suite": suite,
        "backbone": key["backbone"],
        "options": _options(key.get("options")),
        "fusion": str(key.get("fusion", "none")),
        "status": record.status.value,
        "size": size,
        "device": key["device"],
        "conditions": _conditions(key),
        "checkpoint": key["checkpoint"],
        "recipe": (str(weights.get("recipe") or ""), str(weights.get("recipe_hash") or "")),
        "pipeline": _pipeline(weights),
        "seed": str(weights.get("seed", "")),
        "outside": _outside(key, weights),
        "started": str(first.get("started", "")),
        "commit": str(record.environment.get("git_commit", ""))[:9],
    }
    if record.status is not Status.OK:
        nothing: dict[str, Any] = {"value": math.nan, "low": math.nan, "high": math.nan, "n": 0}
        return [Score(metric=f"{suite}_{name}", **nothing, **common) for name in _names(suite)]
    if not record.metrics:
        raise BadScore("it says ok and has no metrics")
    return [
        Score(metric=f"{suite}_{name}", **_numbers(name, metric), **common) for name, metric in record.metrics.items()
    ]


def _names(suite: str) -> tuple[str, ...]:
    """The metrics that a failed record lacks."""
    return {"coco": ("map", "mbap"), "imagenet": ("top1",), "ade20k": ("miou",)}.get(suite, ("miou", "mbiou"))


def _numbers(name: str, metric: Mapping[str, Any]) -> dict[str, Any]:
    value = _number(metric.get("value"))
    if math.isnan(value):
        raise BadScore(f"its {name} is {metric.get('value')!r:.40}, no number")
    n = metric.get("n")
    return {
        "value": value,
        "low": _number(metric.get("low")),
        "high": _number(metric.get("high")),
        "n": n if isinstance(n, int) and not isinstance(n, bool) else 0,
    }


def _conditions(key: Mapping[str, Any]) -> dict[str, str]:
    """What scores of one column share, by name."""
    boxes = str(key.get("box_source", "none"))
    version = key.get("protocol_version", 1)
    return {
        "protocol": f"{key['protocol']}" + (f" version {version}" if version != 1 else ""),
        "dtype": str(key.get("dtype", "unknown")),
        "data": f"{key['dataset']} {key.get('split', '')} {_short(key.get('dataset_checksum'))}".strip(),
        "boxes": boxes if boxes == "none" else f"{boxes} {_short(key.get('box_checksum'))}".strip(),
        "suite version": str(key.get("suite_version", "unknown")),
    }


def _outside(key: Mapping[str, Any], weights: Mapping[str, Any]) -> str:
    """Why a record never stands beside the paper's numbers; empty where it may."""
    reasons = []
    if key["dataset"] == EMBEDDED:
        reasons.append("embedded set")
    if weights.get("scale") == "smoke":
        reasons.append("smoke training")
    if weights.get("random") or str(key["checkpoint"]).startswith("random"):
        reasons.append("random weights")
    low, high = IMAGES[str(key["suite"])]
    images = key.get("images")
    if key["dataset"] != EMBEDDED and not (isinstance(images, int) and low <= images <= high):
        reasons.append(f"{images} of {high} images")
    return ", ".join(reasons)


def _pipeline(weights: Mapping[str, Any]) -> str:
    """Which recipes in a row the weights are from, as far as the record says."""
    before = weights.get("lineage")
    if not isinstance(before, list) or weights.get("recipe") != "sam-joint":
        return ""
    return "paper" if "sam-distill" in before else "no-distillation"


def _options(options: Any) -> str:
    return json.dumps(options or {}, sort_keys=True)


def _short(checksum: Any) -> str:
    return str(checksum or "")[:8]


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else math.nan
