"""COCO's average precision from matches: over all images, or over a resample of them.

    precision at recall r = the highest precision at any recall of at least r,    r = 0, 0.01, … 1
    AP = mean over recalls, IoU thresholds and categories

An image that is drawn twice counts as two copies of it. With each image once the numbers are those of pycocotools'
``accumulate``, to the last bit.
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
    """The detections of one image and category beside its objects, the highest score first.

    score: ``n``.
    tp: Whether a detection is a true positive, ``a t n`` by class of area and IoU threshold: it matched an object
        that counts.
    fp: Whether it is a false positive, ``a t n``: it matched nothing and counts.
    targets: Number of objects that count, ``a``.
    """

    score: NDArray[np.float64]
    tp: NDArray[np.bool_]
    fp: NDArray[np.bool_]
    targets: NDArray[np.int64]


@dataclass(frozen=True)
class Ranking:
    """All detections of one category, the highest score first; images are numbers in ascending order of their ids.

    image: Of each detection, ``n``.
    rank: Its index within its image by score, from 0, ``n``.
    score, tp, fp: As in Matches.
    target_images: Images that have objects of the category, ``m``.
    targets: Number of objects that count in each of these, ``a m``.
    """

    image: NDArray[np.int64]
    rank: NDArray[np.int64]
    score: NDArray[np.float64]
    tp: NDArray[np.bool_]
    fp: NDArray[np.bool_]
    target_images: NDArray[np.int64]
    targets: NDArray[np.int64]

    def objects(self, area: int, resample_counts: Counts | None) -> int:
        """Return the number of objects of a class of area that count."""
        counted = self.targets[area]
        return int(counted.sum() if resample_counts is None else counted @ resample_counts[self.target_images])

    def precision(self, area: int, max_dets: int, resample_counts: Counts | None = None) -> NDArray[np.float64]:
        """Return the precision at each recall, ``t r``; NaN where there is no object.

        max_dets: Detections of an image that count, the highest scores first.
        resample_counts: How often each image is drawn, by its number; each once by default.
        """
        objects = self.objects(area, resample_counts)
        thresholds = self.tp.shape[1]
        if not objects:
            return np.full((thresholds, RECALLS.size), np.nan)
        weight = self._weight(max_dets, resample_counts)
        tp = np.cumsum(self.tp[area] * weight, axis=1)
        fp = np.cumsum(self.fp[area] * weight, axis=1)
        precision = tp / (fp + tp + np.spacing(1))
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # The fewest true positives that reach a recall, then the first index with so many: in whole numbers, so
        # that all thresholds are searched at once.
        needed = np.searchsorted(np.arange(objects + 1) / objects, RECALLS)
        row = np.arange(thresholds)[:, None]
        step = objects + 2
        position = np.searchsorted((tp + row * step).ravel(), needed + row * step) - row * tp.shape[1]
        best = np.concatenate((best, np.zeros((thresholds, 1))), axis=1)  # for a recall that is not reached
        return best[row, np.minimum(position, tp.shape[1])]

    def recall(self, area: int, max_dets: int, resample_counts: Counts | None = None) -> NDArray[np.float64]:
        """Return the recall at each IoU threshold, ``t``; NaN where there is no object."""
        objects = self.objects(area, resample_counts)
        if not objects:
            return np.full(self.tp.shape[1], np.nan)
        return (self.tp[area] * self._weight(max_dets, resample_counts)).sum(axis=1) / objects

    def _weight(self, max_dets: int, resample_counts: Counts | None) -> Counts:
        first = self.rank < max_dets
        return first.astype(np.int64) if resample_counts is None else first * resample_counts[self.image]


def rank_detections(matches: Sequence[tuple[int, Matches]]) -> Ranking:
    """Merge the matches of one category, sorted by image, into one ranking; of equal scores the first leads."""
    of_images = [match for _, match in matches]
    lengths = [match.score.size for match in of_images]
    images = np.array([image for image, _ in matches], dtype=np.int64)
    score = np.concatenate([match.score for match in of_images]) if of_images else np.zeros(0)
    order = np.argsort(-score, kind="stable")
    nothing = np.zeros((len(AREAS), THRESHOLDS, 0), np.bool_)
    targets = [match.targets for match in of_images]
    return Ranking(
        image=np.repeat(images, lengths)[order],
        rank=np.concatenate([np.zeros(0, np.int64), *(np.arange(n) for n in lengths)])[order],
        score=score[order],
        tp=np.concatenate([nothing, *(match.tp for match in of_images)], axis=2)[:, :, order],
        fp=np.concatenate([nothing, *(match.fp for match in of_images)], axis=2)[:, :, order],
        target_images=images,
        targets=np.stack(targets, axis=1) if targets else np.zeros((len(AREAS), 0), np.int64),
    )


def summarize(
    rankings: list[Ranking], max_dets: tuple[int, int, int], resample_counts: Counts | None = None
) -> dict[str, float]:
    """Return COCO's twelve metrics, 0 to 1; NaN where no object counts (pycocotools gives -1).

    max_dets: For the three recalls; the precisions are of the last, but ``map``, which is of 100.
    """
    last = max_dets[-1]
    precision = {
        name: _stacked([r.precision(area, last, resample_counts) for r in rankings])
        for area, name in enumerate(AREAS)
    }
    at_100 = precision["all"] if last == 100 else _stacked([r.precision(0, 100, resample_counts) for r in rankings])
    numbers = {
        "map": _mean(at_100),
        "map50": _mean(precision["all"][:, 0]),
        "map75": _mean(precision["all"][:, 5]),
        **{f"map_{name[0]}": _mean(precision[name]) for name in AREAS[1:]},
    }
    for n in max_dets:
        numbers[f"ar{n}"] = _mean(_stacked([r.recall(0, n, resample_counts) for r in rankings]))
    for area, name in enumerate(AREAS[1:], start=1):
        numbers[f"ar_{name[0]}"] = _mean(_stacked([r.recall(area, last, resample_counts) for r in rankings]))
    return numbers


def _stacked(parts: list[NDArray[Any]]) -> NDArray[np.float64]:
    """Stack by category; no category at all counts as one without an object."""
    return np.stack(parts) if parts else np.full((1, THRESHOLDS), np.nan)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
