"""The summary of COCO's images: twelve numbers of masks and of boundaries, scores of images, slices of objects."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from linbench.metrics.coco import coco_evaluation
from linbench.metrics.slices import Traits
from linbench.suites.accuracy.objects import SCORES, slices
from linbench.suites.accuracy.task import Summary
from linbench.suites.runner.journal import Row


def summarize(
    category_ids: Sequence[int | str], image_id: Callable[[str], int | str], rows: Sequence[Row], seed: int
) -> Summary:
    """Return COCO's twelve numbers of masks and of boundaries, the objects of each image, and slices of all objects.

    category_ids: Of the dataset.
    image_id: Turns a row's id into the image's id, by which images are ordered.
    """
    ids = [image_id(row["id"]) for row in rows]
    truth = {
        "images": [
            {"id": image, "height": row["size"][0], "width": row["size"][1]}
            for image, row in zip(ids, rows, strict=True)
        ],
        "annotations": _of_all(ids, rows, "annotations"),
        "categories": [{"id": number} for number in category_ids],
    }
    detections = _of_all(ids, rows, "detections")
    metrics: dict[str, Mapping[str, Any]] = {}
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in ("id", *SCORES)}
    for iou, prefix in (("segm", ""), ("boundary", "b")):
        evaluation = coco_evaluation(truth, detections, iou)  # type: ignore[arg-type]
        for bad in evaluation.bad:  # the dataset lets none through
            raise ValueError(f"{bad.kind} of image {bad.image}: {bad.reason}")
        intervals = evaluation.intervals(seed)
        for name, value in evaluation.metrics().items():
            if not np.isnan(value):
                metrics[_metric_name(name, prefix)] = _metric(value, *intervals[name], len(rows))
        of_images = evaluation.by_image()
        indices = {image: index for index, image in enumerate(of_images.pop("id"))}
        order = [indices[image] for image in ids]
        for name, values in of_images.items():
            if name != "objects" or not prefix:
                columns[prefix + name] = [values[index] for index in order]
    return Summary(metrics, columns, _slices(rows, seed), undefined="" if metrics else _no_object(rows))


def _of_all(ids: Sequence[int | str], rows: Sequence[Row], name: str) -> list[dict[str, Any]]:
    """Return the annotations or detections of all images in one list, as COCO's files have them."""
    return [{"image_id": image, **entry} for image, row in zip(ids, rows, strict=True) for entry in row[name]]


def _slices(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    objects = [entry for row in rows for entry in row["objects"]]
    columns = {
        name: [math.nan if entry[name] is None else entry[name] for entry in objects]
        for name in (*SCORES, *Traits._fields)
    }
    return slices(columns, seed) if objects else {}


def _no_object(rows: Sequence[Row]) -> str:
    """Say why there is no AP."""
    annotations = [entry for row in rows for entry in row["annotations"]]
    crowds = sum(entry["iscrowd"] for entry in annotations)
    other = f" and {len(annotations) - crowds} that COCO ignores" if len(annotations) > crowds else ""
    return f"AP is undefined: no object counts in the {len(rows)} images, which have {crowds} crowds{other}"


def _metric_name(name: str, prefix: str) -> str:
    """Return ``map_s`` and ``ar100`` of masks; ``mbap_s`` and ``bar100`` of boundaries."""
    return name.replace("map", f"m{prefix}ap", 1) if name.startswith("map") else prefix + name


def _metric(value: float, low: float, high: float, images: int) -> dict[str, Any]:
    return {"value": 100 * value, "unit": "%", "low": 100 * low, "high": 100 * high, "n": images}
