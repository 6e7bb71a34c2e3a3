"""Scores of masks beside traits of their true masks, so that a summary can say where a model is good."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.metrics.iou import boundary, mask_iou
from linbench.metrics.slices import Traits, mask_traits, slice_scores

SCORES = ("iou", "biou")


def score_mask(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> dict[str, float]:
    """Return IoU and boundary IoU from 0 to 1, and the traits of the true mask, which has a pixel."""
    return {
        "iou": mask_iou(mask, truth),
        "biou": mask_iou(boundary(mask), boundary(truth)),
        **mask_traits(truth)._asdict(),
    }


def slices(objects: Mapping[str, Sequence[float]], seed: int) -> dict[str, dict[str, Any]]:
    """Return mean scores in percent by kind of trait and class: ``{"thinness": {"thin": {"miou": {…}, …}, …}, …}``.

    objects: Columns ``iou``, ``biou`` and of each trait.
    """
    of_objects = [Traits(*values) for values in zip(*(objects[name] for name in Traits._fields), strict=True)]
    result: dict[str, dict[str, Any]] = {}
    for score in SCORES:
        for kind, classes in slice_scores(of_objects, 100 * np.asarray(objects[score], np.float64), seed).items():
            for name, part in classes.items():
                result.setdefault(kind, {}).setdefault(name, {})[f"m{score}"] = {"unit": "%", **part}
    return result
