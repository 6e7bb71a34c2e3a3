"""COCO's average precision from matches: of all images, or of a sample of them.

    precision at recall r = the highest precision at any recall of at least r,    r = 0, 0.01, … 1
    AP = mean over recalls, IoU thresholds and categories

An image that is drawn twice counts as if a copy of it stood beside it. With each image once the numbers are those of
pycocotools' ``accumulate``, to the last bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

AREAS = ("all", "small", "medium", "large")
THRESHOLDS = 10  # IoU 0.5, 0.55, … 0.95
RECALLS = np.linspace(0.0, 1.0, 101)
Counts = NDArray[np.int64]


class Matches(NamedTuple):
    """What the detections of one image and category found, the highest score first.

    score: ``n``.
    right: Whether a detection matched an object that counts, ``a t n`` by class of area and IoU threshold.
    wrong: Whether it matched nothing and counts, ``a t n``.
    targets: How many objects count, ``a``.
    """

    score: NDArray[np.float64]
    right: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    targets: NDArray[np.int64]


@dataclass(frozen=True)
class Ranking:
    """All detections of one category, the highest score first; images are numbers in ascending order of their ids.

    image: Of each detection, ``n``.
    rank: Its place within its image, from 0, ``n``.
    score, right, wrong: As in Matches.
    with_targets: Images that have objects of the category, ``m``.
    targets: How many objects count in each of these, ``a m``.
    """

    image: NDArray[np.int64]
    rank: NDArray[np.int64]
    score: NDArray[np.float64]
    right: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    with_targets: NDArray[np.int64]
    targets: NDArray[np.int64]

    def objects(self, area: int, draws: Counts | None) -> int:
        """How many objects of that class of area count."""
        counted = self.targets[area]
        return int(counted.sum() if draws is None else counted @ draws[self.with_targets])

    def precision(self, area: int, most: int, draws: Counts | None = None) -> NDArray[np.float64]:
        """At each recall, ``t r``; NaN where there is no object.

        most: The first so many detections of an image count.
        draws: How often each image is drawn, by its number; each once by default.
        """
        objects = self.objects(area, draws)
        thresholds = self.right.shape[1]
        if not objects:
            return np.full((thresholds, RECALLS.size), np.nan)
        weight = self._weight(most, draws)
        right = np.cumsum(self.right[area] * weight, axis=1)
        wrong = np.cumsum(self.wrong[area] * weight, axis=1)
        precision = right / (wrong + right + np.spacing(1))
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # The fewest right detections that reach a recall, then the first place with so many: in whole numbers, so
        # that all thresholds are searched at once.
        needed = np.searchsorted(np.arange(objects + 1) / objects, RECALLS)
        row = np.arange(thresholds)[:, None]
        step = objects + 2
        place = np.searchsorted((right + row * step).ravel(), needed + row * step) - row * right.shape[1]
        best = np.concatenate((best, np.zeros((thresholds, 1))), axis=1)  # a recall that is not reached
        return best[row, np.minimum(place, right.shape[1])]

    def recall(self, area: int, most: int, draws: Counts | None = None) -> NDArray[np.float64]:
        """Of the objects, ``t``; NaN where there is none."""
        objects = self.objects(area, draws)
        if not objects:
            return np.full(self.right.shape[1], np.nan)
        return (self.right[area] * self._weight(most, draws)).sum(axis=1) / objects

    def _weight(self, most: int, draws: Counts | None) -> Counts:
        first = self.rank < most
        return first.astype(np.int64) if draws is None else first * draws[self.image]


def ranking(matches: Sequence[tuple[int, Matches]]) -> Ranking:
    """The matches of one category, given by ascending image, in one order; of equal scores the first leads."""
    found = [one for _, one in matches]
    lengths = [one.score.size for one in found]
    images = np.array([image for image, _ in matches], dtype=np.int64)
    score = np.concatenate([one.score for one in found]) if found else np.zeros(0)
    order = np.argsort(-score, kind="stable")
    nothing = np.zeros((len(AREAS), THRESHOLDS, 0), np.bool_)
    return Ranking(
        image=np.repeat(images, lengths)[order],
        rank=np.concatenate([np.zeros(0, np.int64), *(np.arange(n) for n in lengths)])[order],
        score=score[order],
        right=np.concatenate([nothing, *(one.right for one in found)], axis=2)[:, :, order],
        wrong=np.concatenate([nothing, *(one.wrong for one in found)], axis=2)[:, :, order],
        with_targets=images,
        targets=np.stack([one.targets for one in found], axis=1) if found else np.zeros((len(AREAS), 0), np.int64),
    )


def twelve(rankings: list[Ranking], most: tuple[int, int, int], draws: Counts | None = None) -> dict[str, float]:
    """COCO's twelve numbers, 0 to 1; NaN where no object counts (pycocotools says -1).

    most: For the three recalls; the precisions are of the last, but ``map``, which is of 100.
    """
    last = most[-1]
    precision = {
        name: _stacked([r.precision(area, last, draws) for r in rankings]) for area, name in enumerate(AREAS)
    }
    at_100 = precision["all"] if last == 100 else _stacked([r.precision(0, 100, draws) for r in rankings])
    numbers = {
        "map": _mean(at_100),
        "map50": _mean(precision["all"][:, 0]),
        "map75": _mean(precision["all"][:, 5]),
        **{f"map_{name[0]}": _mean(precision[name]) for name in AREAS[1:]},
    }
    for n in most:
        numbers[f"ar{n}"] = _mean(_stacked([r.recall(0, n, draws) for r in rankings]))
    for area, name in enumerate(AREAS[1:], start=1):
        numbers[f"ar_{name[0]}"] = _mean(_stacked([r.recall(area, last, draws) for r in rankings]))
    return numbers


def _stacked(parts: list[NDArray[Any]]) -> NDArray[np.float64]:
    """By category first; no category at all is as one without an object."""
    return np.stack(parts) if parts else np.full((1, THRESHOLDS), np.nan)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
