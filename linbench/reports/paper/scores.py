"""Read accuracy records as scores, and average those of several trainings.

A score that does not count as the paper's (of the embedded dataset, of a shortened training, of random weights, of a
part of the images) says why in ``exclusion``; it goes to tables of its own.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from linbench.records import Record, Status
from linbench.reports.paper.cell import Measurement
from linbench.reports.paper.spec import image_counts, metrics

EMBEDDED = "shapes"
USER_SPLIT = "all"  # the split of data without a registration
MIN_SEEDS = 3


class BadScore(ValueError):
    """The error of an accuracy record that cannot be shown; the message says what it lacks."""


@dataclass(frozen=True)
class Training:
    """The training behind the weights of a score.

    recipe, recipe_hash: Empty for weights that linbench did not train.
    pipeline: The pipeline whose last recipe it was; empty where it was none.
    """

    recipe: str
    recipe_hash: str
    pipeline: str
    seed: str

    def __str__(self) -> str:
        return " ".join(filter(None, [self.recipe, self.recipe_hash[:8]])) or "none of linbench's"


@dataclass(frozen=True)
class Evaluation:
    """An accuracy record without its metrics.

    size: Height and width of the input, px.
    conditions: What scores in one column share: protocol, dtype, dataset with checksum, boxes, suite version.
    exclusion: Why it never stands beside the paper's numbers; empty where it may.
    """

    backbone: str
    options: str
    fusion: str
    size: tuple[int, int]
    device: str
    status: str
    conditions: Mapping[str, str]
    checkpoint: str
    training: Training
    exclusion: str
    started: str
    commit: str


@dataclass(frozen=True)
class Score:
    """One metric of one accuracy record.

    metric: ``dis_miou`` and the like, suite first.
    value, low, high: In percent; the interval is a bootstrap over the images, NaN where there is none.
    n: Images.
    """

    metric: str
    value: float
    low: float
    high: float
    n: int
    evaluation: Evaluation


def read_scores(records: Iterable[Record]) -> tuple[list[Score], list[str]]:
    """Return the scores of all accuracy records, and the faults of those left out."""
    scores, faults = [], []
    for record in records:
        if record.key.get("suite") not in image_counts():
            continue
        try:
            scores += _scores(record)
        except BadScore as error:
            faults.append(f"a record of {record.key.get('backbone')!s:.60}, suite {record.key['suite']}: {error}")
    return scores, faults


def average_by_conditions(scores: Iterable[Score], recipe_hashes: Mapping[str, str]) -> list[Measurement]:
    """Return one number for each set of conditions that the scores of one row have.

    recipe_hashes: The present hash of each recipe; a score of another hash is ``open``.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Score]] = {}
    for score in scores:
        recipe = _recipe_condition(score.evaluation.training, recipe_hashes)
        groups.setdefault(tuple({**score.evaluation.conditions, "recipe": recipe}.items()), []).append(score)
    return [average(group, dict(conditions)) for conditions, group in groups.items()]


def average(scores: Sequence[Score], conditions: Mapping[str, str]) -> Measurement:
    """Average scores over their checkpoints; of two records of one checkpoint the later counts.

    One training keeps the interval over images. Three or more have their standard deviation, as the variation between
    trainings is the larger one (rule 17 of docs/measurement.md); two have no interval.
    """
    latest = {score.evaluation.checkpoint: score for score in sorted(scores, key=lambda s: s.evaluation.started)}
    trained = [score for score in latest.values() if score.evaluation.status == "ok"]
    shown = trained or list(latest.values())
    first, value = shown[0], fmean(score.value for score in shown)
    low, high, interval, n = first.low, first.high, "none" if math.isnan(first.low) else "images", first.n
    if len(trained) > 1:
        low, high, interval, n = math.nan, math.nan, "none", len(trained)
    if len(trained) >= MIN_SEEDS:
        deviation = stdev(score.value for score in trained)
        low, high, interval = value - deviation, value + deviation, "seeds"
    provenance = {
        **first.evaluation.conditions,
        "recipe": str(first.evaluation.training),
        "checkpoint": ", ".join(score.evaluation.checkpoint[:8] for score in shown),
        "trainings": str(len(trained)),
        "seed": ", ".join(seed for score in shown if (seed := score.evaluation.training.seed)),
        "commit": first.evaluation.commit,
    }
    return Measurement(
        value,
        low,
        high,
        interval=interval,
        n=n,
        status=first.evaluation.status,
        device=first.evaluation.device,
        conditions=conditions,
        provenance={name: text for name, text in provenance.items() if text},
    )


def _recipe_condition(training: Training, recipe_hashes: Mapping[str, str]) -> str:
    """Name the recipe for the heading of a column; empty for weights that linbench did not train."""
    if not training.recipe_hash:
        return ""
    is_present = recipe_hashes.get(training.recipe) == training.recipe_hash
    return str(training) + ("" if is_present else ", open")


def _scores(record: Record) -> list[Score]:
    evaluation, suite = _evaluation(record), str(record.key["suite"])
    if record.status is not Status.OK:
        return [Score(name, math.nan, math.nan, math.nan, 0, evaluation) for name in metrics(suite)]
    if not record.metrics:
        raise BadScore("its status is ok, but it has no metrics")
    return [
        Score(f"{suite}_{name}", **_numbers(name, metric), evaluation=evaluation)
        for name, metric in record.metrics.items()
    ]


def _evaluation(record: Record) -> Evaluation:
    """Read an accuracy record; raises BadScore for a key without the fields that tell scores apart."""
    key, weights = record.key, _mapping(record.environment.get("checkpoint"))
    for name in ("backbone", "device", "dataset", "protocol", "checkpoint"):
        if not isinstance(key.get(name), str) or not key[name]:
            raise BadScore(f"its key has no {name}")
    return Evaluation(
        backbone=key["backbone"],
        options=json.dumps(key.get("options") or {}, sort_keys=True),
        fusion=str(key.get("fusion", "none")),
        size=_size(key),
        device=key["device"],
        status=record.status.value,
        conditions=_conditions(key),
        checkpoint=key["checkpoint"],
        training=_training(weights),
        exclusion=_exclusion(key, weights),
        started=str(_mapping(record.rounds[0] if record.rounds else None).get("started", "")),
        commit=str(record.environment.get("git_commit", ""))[:9],
    )


def _size(key: Mapping[str, Any]) -> tuple[int, int]:
    size = (key.get("height"), key.get("width"))
    height, width = (side if isinstance(side, int) and 0 < side < 2**20 else None for side in size)
    if height is None or width is None:
        raise BadScore(f"its height and width are {size!r:.60}; they count px")
    return height, width


def _training(weights: Mapping[str, Any]) -> Training:
    recipe, lineage = str(weights.get("recipe") or ""), weights.get("lineage")
    pipeline = ""
    if isinstance(lineage, list) and recipe == "sam-joint":
        pipeline = "paper" if "sam-distill" in lineage else "no-distillation"
    return Training(recipe, str(weights.get("recipe_hash") or ""), pipeline, str(weights.get("seed", "")))


def _numbers(name: str, metric: Mapping[str, Any]) -> dict[str, Any]:
    value = _number(metric.get("value"))
    if math.isnan(value):
        raise BadScore(f"its {name} is {metric.get('value')!r:.40}, not a number")
    n = metric.get("n")
    return {
        "value": value,
        "low": _number(metric.get("low")),
        "high": _number(metric.get("high")),
        "n": n if isinstance(n, int) and not isinstance(n, bool) else 0,
    }


def _conditions(key: Mapping[str, Any]) -> dict[str, str]:
    boxes = str(key.get("box_source", "none"))
    version = key.get("protocol_version", 1)
    return {
        "protocol": f"{key['protocol']}" + (f" version {version}" if version != 1 else ""),
        "dtype": str(key.get("dtype", "unknown")),
        "data": f"{key['dataset']} {key.get('split', '')} {_short(key.get('dataset_checksum'))}".strip(),
        "boxes": boxes if boxes == "none" else f"{boxes} {_short(key.get('box_checksum'))}".strip(),
        "suite version": str(key.get("suite_version", "unknown")),
    }


def _exclusion(key: Mapping[str, Any], weights: Mapping[str, Any]) -> str:
    """Say why a record never stands beside the paper's numbers; empty where it may."""
    reasons = []
    is_embedded = key["dataset"] == EMBEDDED
    if is_embedded:
        reasons.append("embedded dataset")
    if weights.get("scale") == "smoke":
        reasons.append("smoke training")
    if weights.get("random") or str(key["checkpoint"]).startswith("random"):
        reasons.append("random weights")
    if key.get("split") == USER_SPLIT:
        reasons.append("the user's data")
    fewest, most = image_counts()[str(key["suite"])]
    images = key.get("images")
    if not is_embedded and not (isinstance(images, int) and fewest <= images <= most):
        reasons.append(f"{images} of {most} images")
    return ", ".join(reasons)


def _short(checksum: Any) -> str:
    return str(checksum or "")[:8]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else math.nan
