"""What an accuracy suite gives the evaluation of a cell: how images are prepared, scored, and summarized."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from linbench.data.contract import Dataset, Sample
from linbench.metrics.intervals import bootstrap_mean
from linbench.suites.runner.journal import Row

S = TypeVar("S", bound=Sample)
P = TypeVar("P")


@dataclass(frozen=True)
class Summary:
    """The result of all images together.

    metrics: Name to value, unit, ends of the 95 % interval, and n.
    scores: Columns of equal length, by image, in the order of the dataset.
    slices: By kind of object and class of it, metrics of the objects in it.
    undefined: Why there is no metric, where there is none.
    """

    metrics: Mapping[str, Mapping[str, Any]]
    scores: Mapping[str, Sequence[Any]]
    slices: Mapping[str, Any] = field(default_factory=dict)
    undefined: str = ""


@dataclass(frozen=True)
class Task(Generic[S, P]):
    """One evaluation, with its model on a device.

    prepare: Reads a sample and makes the model's input of it, in a thread; raises BadSample.
    score: Runs the model and returns a row of JSON values, which may list ``faults`` of parts that were left out.
    summarize: Takes the rows that have been scored, in the order of the dataset, and a seed.
    running: The name of a row's score, 0 to 1, whose mean the progress shows.
    faults: Faults known before the first image is read, each with ``id``, ``file`` and ``reason``.
    facts: Of the weights and the protocol, for the record.
    """

    dataset: Dataset[S]
    prepare: Callable[[S], P]
    score: Callable[[P], Row]
    summarize: Callable[[Sequence[Row], int], Summary]
    running: str
    faults: Sequence[Mapping[str, str]] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def percent(scores: Sequence[float], seed: int) -> dict[str, Any]:
    """Return the mean of scores from 0 to 1 as a metric in percent, with its 95 % interval over images."""
    low, high = bootstrap_mean(scores, seed)
    return {
        "value": 100 * float(np.mean(scores)),
        "unit": "%",
        "low": 100 * low,
        "high": 100 * high,
        "n": len(scores),
    }


def faults_of(dataset: Dataset[Any], images: int) -> list[dict[str, str]]:
    """Return the faults of the dataset's first ``images`` images; all faults where these are all images."""
    ids = None if images == len(dataset) else {dataset[index].id for index in range(images)}
    return [
        {"id": fault.id, "file": fault.file, "reason": fault.reason}
        for fault in dataset.faults
        if ids is None or fault.id in ids
    ]
