"""What an accuracy suite gives the evaluation of a cell: how images are prepared, scored, and summed up."""

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
    """What all images together say.

    metrics: Name to value, unit, ends of the 95 % interval, and n.
    scores: Columns of equal length, by image, in the order of the data set.
    slices: By kind of object and class of it, metrics of the objects in it.
    undefined: Why there is no metric, where there is none.
    """

    metrics: Mapping[str, Mapping[str, Any]]
    scores: Mapping[str, Sequence[Any]]
    slices: Mapping[str, Any] = field(default_factory=dict)
    undefined: str = ""


@dataclass(frozen=True)
class Task(Generic[S, P]):
    """One evaluation, with its model at hand.

    prepare: Reads a sample and makes the model's input of it, in a thread; raises BadSample.
    score: The model's answer to it as a row of JSON values, which may list ``faults`` of parts that were left out.
    summary: Of the rows that have been scored, in the order of the data set, and a seed.
    running: The score from 0 to 1 of a row whose mean is shown meanwhile.
    faults: What was wrong before any image was read: ``id``, ``file`` and ``reason`` each.
    facts: Of the weights and the protocol, for the record.
    """

    dataset: Dataset[S]
    prepare: Callable[[S], P]
    score: Callable[[P], Row]
    summary: Callable[[Sequence[Row], int], Summary]
    running: str
    faults: Sequence[Mapping[str, str]] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def percent(scores: Sequence[float], seed: int) -> dict[str, Any]:
    """The mean of scores from 0 to 1 as a metric in percent, with the ends of its 95 % interval over images."""
    low, high = bootstrap_mean(scores, seed)
    return {
        "value": 100 * float(np.mean(scores)),
        "unit": "%",
        "low": 100 * low,
        "high": 100 * high,
        "n": len(scores),
    }


def faults_of(dataset: Dataset[Any], images: int) -> list[dict[str, str]]:
    """What opening the set found wrong: with its first so many images, or with anything where these are all."""
    mine = None if images == len(dataset) else {dataset[number].id for number in range(images)}
    return [
        {"id": fault.id, "file": fault.file, "reason": fault.reason}
        for fault in dataset.faults
        if mine is None or fault.id in mine
    ]
