"""Small random COCO sets, and pycocotools' own evaluation of them."""

import copy

import numpy as np
from hypothesis import strategies as st
from pycocotools import mask as coco
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.metrics.masks import silence


def encoded(mask):
    result = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(mask.shape), "counts": result["counts"].decode()}


def region(rng, height, width):
    """A rectangle with a bite, which may be small, large, or empty."""
    mask = np.zeros((height, width), np.bool_)
    y, x = rng.integers(0, height), rng.integers(0, width)
    h, w = rng.choice([0, 5, 20, 60, 120], 2)
    mask[y : y + h, x : x + w] = True
    mask[y : y + h // 3, x : x + w // 3] = False
    return mask


def moved(rng, mask):
    by = tuple(int(n) for n in rng.integers(-4, 5, 2))
    return np.roll(mask, by, axis=(0, 1))


@st.composite
def coco_sets(draw):
    """Annotations and detections: crowds, ties, empty masks, images and categories without anything."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = [{"id": int(i), "height": 120, "width": 150} for i in rng.permutation(9)[: rng.integers(1, 5)]]
    annotations, detections = [], []
    for image in images:
        for _ in range(rng.integers(0, 6)):
            truth = region(rng, 120, 150)
            category = int(rng.choice([1, 5]))
            crowd = int(rng.random() < 0.2)
            known = {"image_id": image["id"], "category_id": category}
            for _ in range(rng.integers(0, 3)):
                region_mask = moved(rng, truth) if rng.random() < 0.8 else region(rng, 120, 150)
                score = float(rng.choice([0.1, 0.5, 0.9])) if rng.random() < 0.7 else float(rng.random())
                detections.append({**known, "segmentation": encoded(region_mask), "score": score})
            area = float(truth.sum()) * rng.choice([1.0, 0.97])
            box = [float(v) for v in coco.toBbox(encoded(truth))]
            number = len(annotations) + 1
            annotations.append(
                {**known, "id": number, "segmentation": encoded(truth), "area": area, "bbox": box, "iscrowd": crowd}
            )
    order = rng.permutation(len(detections))
    table = {"images": images, "annotations": annotations, "categories": [{"id": c} for c in (1, 5, 7)]}
    return table, [detections[i] for i in order]


def official(annotations, detections, iou):
    """The twelve numbers as pycocotools prints them, NaN for its -1."""
    with silence():
        truth = COCO()
        truth.dataset = copy.deepcopy(annotations)
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(detections)), iou)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.where(evaluation.stats == -1, np.nan, evaluation.stats)
