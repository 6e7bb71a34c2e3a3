"""Semantic segmentation: IoU of classes and pixel accuracy, from a confusion matrix of pixels.

    confusion = Confusion(classes=150, ignored=255)
    rows = confusion.add(prediction, truth)      # this image's counts, for its record
    confusion.miou(), confusion.pixel_accuracy()

All sums are integers, so images may be counted in any order and on any number of processes.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.metrics.intervals import RESAMPLES, bootstrap

Sums = NDArray[np.int64]


class Confusion:
    """A confusion matrix: how many pixels of each class were predicted as each class.

    classes: Their number; labels are 0 to classes - 1.
    ignored: The label of pixels that do not count, or None.
    matrix: Truth by prediction, ``c c``.
    """

    def __init__(self, classes: int, ignored: int | None = 255) -> None:
        if classes < 1 or (ignored is not None and 0 <= ignored < classes):
            raise ValueError(
                f"classes must be at least 1 and ignored outside 0 to {classes - 1}, got {classes} and {ignored}"
            )
        self.classes = classes
        self.ignored = ignored
        self.matrix: Sums = np.zeros((classes, classes), np.int64)

    def add(self, prediction: NDArray[Any], truth: NDArray[Any]) -> list[list[int]]:
        """Count one image, both ``h w``; return a row for each class in it: class, pixels right, predicted, true.

        Raises ValueError, and counts nothing, where the sizes differ or a label is not a class.
        """
        if prediction.shape != truth.shape:
            raise ValueError(f"prediction and truth must have one size, got {prediction.shape} and {truth.shape}")
        counted = np.ones(truth.shape, np.bool_) if self.ignored is None else truth != self.ignored
        true, predicted = self._labels("truth", truth[counted]), self._labels("prediction", prediction[counted])
        pairs = np.bincount(true * self.classes + predicted, minlength=self.classes**2)
        image = pairs.reshape(self.classes, self.classes)
        self.matrix += image
        sums = _sums(image)
        return [[int(c), *sums[:, c].tolist()] for c in np.flatnonzero(sums.any(axis=0))]

    def merge(self, other: "Confusion") -> None:
        """Add another matrix; raise ValueError where its classes or its ignored label differ."""
        if (other.classes, other.ignored) != (self.classes, self.ignored):
            raise ValueError(
                f"other must have {self.classes} classes and ignore {self.ignored}, "
                f"got {other.classes} and {other.ignored}"
            )
        self.matrix += other.matrix

    def iou(self) -> NDArray[np.float64]:
        """Return the IoU of each class, 0 to 1; NaN for a class that is nowhere true or predicted."""
        return class_iou(_sums(self.matrix))

    def miou(self) -> float:
        """Return the mean IoU of the classes that are true or predicted somewhere, 0 to 1; NaN without any."""
        return mean_iou(_sums(self.matrix))

    def pixel_accuracy(self) -> float:
        """Return pixels right over pixels that count, 0 to 1; NaN without any."""
        return pixel_accuracy(_sums(self.matrix))

    def _labels(self, name: str, labels: NDArray[Any]) -> NDArray[np.int64]:
        if labels.dtype.kind not in "iu":
            raise ValueError(f"{name} must hold integer labels, got {labels.dtype}")
        if labels.size and (labels.min() < 0 or labels.max() >= self.classes):
            raise ValueError(f"{name} must hold labels 0 to {self.classes - 1}, got {labels.min()} to {labels.max()}")
        return labels.astype(np.int64)


def class_iou(sums: Sums) -> NDArray[np.float64]:
    """Return the IoU of each class, from pixels right, predicted and true, ``3 c``."""
    right, predicted, true = sums
    either = predicted + true - right
    return np.divide(right, either, out=np.full(right.shape, np.nan), where=either > 0)


def mean_iou(sums: Sums) -> float:
    """Return the mean IoU of the classes that are true or predicted somewhere."""
    iou = class_iou(sums)
    present = iou[~np.isnan(iou)]
    return float(present.mean()) if present.size else math.nan


def pixel_accuracy(sums: Sums) -> float:
    """Return pixels right over pixels that count."""
    right, _, true = sums.sum(axis=1).tolist()
    return right / true if true else math.nan


def stack_rows(rows: Sequence[Sequence[Sequence[int]]], classes: int) -> Sums:
    """Return the rows that ``Confusion.add`` gave for each image as pixels right, predicted and true, ``n 3 c``."""
    sums = np.zeros((len(rows), 3, classes), np.int64)
    for image, image_rows in enumerate(rows):
        for c, *counts in image_rows:
            sums[image, :, c] = counts
    return sums


def metric_intervals(images: Sums, seed: int, resamples: int = RESAMPLES) -> dict[str, tuple[float, float]]:
    """Return the 95 % intervals of ``miou`` and ``pixel_accuracy`` over images, from the sums ``n 3 c``."""
    flat = images.reshape(len(images), -1)

    def interval(metric: Callable[[Sums], float]) -> tuple[float, float]:
        return bootstrap(
            lambda counts: metric((counts @ flat).reshape(images.shape[1:])), len(images), seed, resamples
        )

    return {"miou": interval(mean_iou), "pixel_accuracy": interval(pixel_accuracy)}


def _sums(matrix: Sums) -> Sums:
    return np.stack((np.diagonal(matrix), matrix.sum(axis=0), matrix.sum(axis=1)))
