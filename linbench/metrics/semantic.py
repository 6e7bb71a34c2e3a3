"""Semantic segmentation: intersection over union of classes, from a confusion matrix of pixels.

    confusion = Confusion(classes=150, ignored=255)
    rows = confusion.add(prediction, truth)      # what this image adds, for its record
    confusion.miou(), confusion.pixel_accuracy()

All sums are whole numbers, so that images may be counted in any order and on any number of processes.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.metrics.intervals import RESAMPLES, bootstrap

Sums = NDArray[np.int64]


class Confusion:
    """How many pixels of each class were predicted as each class.

    classes: Their number; labels are 0 to classes - 1.
    ignored: The label of pixels that count nowhere, or None.
    matrix: Truth by prediction, ``c c``.
    """

    def __init__(self, classes: int, ignored: int | None = 255) -> None:
        if classes < 1 or (ignored is not None and 0 <= ignored < classes):
            raise ValueError(f"classes is at least 1, ignored is none of 0 to {classes - 1}; found {ignored}")
        self.classes = classes
        self.ignored = ignored
        self.matrix: Sums = np.zeros((classes, classes), np.int64)

    def add(self, prediction: NDArray[Any], truth: NDArray[Any]) -> list[list[int]]:
        """Count one image, both ``h w``; returns its rows: class, pixels right, predicted and true, where any is.

        Raises ValueError, and counts nothing, for sizes that differ and for labels that are no class.
        """
        if prediction.shape != truth.shape:
            raise ValueError(f"prediction and truth are of one size; found {prediction.shape} and {truth.shape}")
        counted = np.ones(truth.shape, np.bool_) if self.ignored is None else truth != self.ignored
        true, said = self._labels("truth", truth[counted]), self._labels("prediction", prediction[counted])
        pairs = np.bincount(true * self.classes + said, minlength=self.classes**2)
        image = pairs.reshape(self.classes, self.classes)
        self.matrix += image
        sums = _sums(image)
        seen = np.flatnonzero(sums.any(axis=0))
        return [[int(c), *sums[:, c].tolist()] for c in seen]

    def merge(self, other: "Confusion") -> None:
        """Count what another has counted."""
        if (other.classes, other.ignored) != (self.classes, self.ignored):
            raise ValueError(
                f"{other.classes} classes without {other.ignored} are not {self.classes} without {self.ignored}"
            )
        self.matrix += other.matrix

    def iou(self) -> NDArray[np.float64]:
        """Of each class, 0 to 1; NaN for a class that is neither true nor predicted anywhere."""
        return class_iou(_sums(self.matrix))

    def miou(self) -> float:
        """The mean over the classes that are true or predicted somewhere, 0 to 1; NaN where there is none."""
        return mean_iou(_sums(self.matrix))

    def pixel_accuracy(self) -> float:
        """Pixels right over pixels that count, 0 to 1; NaN where there is none."""
        return accuracy(_sums(self.matrix))

    def _labels(self, name: str, labels: NDArray[Any]) -> NDArray[np.int64]:
        if labels.dtype.kind not in "iu":
            raise ValueError(f"{name} holds labels, which are whole numbers; found {labels.dtype}")
        if labels.size and (labels.min() < 0 or labels.max() >= self.classes):
            raise ValueError(f"{name} holds labels 0 to {self.classes - 1}; found {labels.min()} to {labels.max()}")
        return labels.astype(np.int64)


def class_iou(sums: Sums) -> NDArray[np.float64]:
    """Of each class, from pixels right, predicted and true, ``3 c``."""
    right, predicted, true = sums
    either = predicted + true - right
    return np.divide(right, either, out=np.full(right.shape, np.nan), where=either > 0)


def mean_iou(sums: Sums) -> float:
    """Over the classes that are true or predicted somewhere."""
    of_classes = class_iou(sums)
    known = of_classes[~np.isnan(of_classes)]
    return float(known.mean()) if known.size else math.nan


def accuracy(sums: Sums) -> float:
    """Pixels right over pixels that count."""
    right, _, true = sums.sum(axis=1).tolist()
    return right / true if true else math.nan


def of_images(rows: Sequence[Sequence[Sequence[int]]], classes: int) -> Sums:
    """What ``Confusion.add`` returned for each image, as pixels right, predicted and true, ``images 3 c``."""
    sums = np.zeros((len(rows), 3, classes), np.int64)
    for image, of_image in enumerate(rows):
        for c, *three in of_image:
            sums[image, :, c] = three
    return sums


def intervals(images: Sums, seed: int, resamples: int = RESAMPLES) -> dict[str, tuple[float, float]]:
    """The 95 % intervals of ``miou`` and ``pixel_accuracy`` over images, from the sums ``images 3 c``."""
    flat = images.reshape(len(images), -1)

    def of(number: Any) -> tuple[float, float]:
        return bootstrap(
            lambda counts: number((counts @ flat).reshape(images.shape[1:])), len(images), seed, resamples
        )

    return {"miou": of(mean_iou), "pixel_accuracy": of(accuracy)}


def _sums(matrix: Sums) -> Sums:
    return np.stack((np.diagonal(matrix), matrix.sum(axis=0), matrix.sum(axis=1)))
