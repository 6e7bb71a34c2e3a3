"""The suite ``coco``: mask AP and boundary AP on COCO's val2017, or a user's file, prompted by a detector's boxes.

Every box of the detector's file is a prompt; class and score are the detector's, and the mask is the segmenter's
only mask (arXiv 2406.19369, section 4; the boxes are ViTDet-H's). With ``--boxes ground-truth`` the prompts are the
boxes of the annotations. A detection's size is its mask's, as in mmdetection and RWKV-SAM. An image without a box
counts with its missed objects.

The scores of single images, and the slices, are of objects: each true object but crowds with the detection of its
class that fits it best. An object without a pixel is missed.

The evaluated annotations are those that the dataset validates: each image's row holds them as run lengths, and the
summary is of the rows alone.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as runs
from torch import Tensor

from linbench.coco import rle
from linbench.coco.detections import Detection
from linbench.data.contract import BadSample, Dataset, Instance, InstanceSample
from linbench.models.finite import check_finite
from linbench.models.sam import Prompts
from linbench.suites.accuracy import protocols
from linbench.suites.accuracy.cells import AccuracyPlan, opened_dataset, weights_of
from linbench.suites.accuracy.coco_boxes import open_boxes, prompts_of
from linbench.suites.accuracy.coco_summary import summarize
from linbench.suites.accuracy.key import VERSIONS, AccuracyKey
from linbench.suites.accuracy.models import build_model
from linbench.suites.accuracy.objects import SCORES, score_mask
from linbench.suites.accuracy.options import DetectorOptions
from linbench.suites.accuracy.task import Task, faults_of
from linbench.suites.runner.journal import Row

AT_A_TIME = 64  # prompts whose logits are in memory at a time

PLAN = AccuracyPlan(
    suite="coco",
    version=VERSIONS["coco"],
    data="coco",
    task="sam",
    side=1024,
    multiple=16,
    protocol=protocols.protocol_name,
    protocol_versions=protocols.VERSIONS,
    entries=("linbench.suites.accuracy.coco", "linbench.data.coco"),
    boxes=lambda options, dataset: open_boxes(options, dataset).source,
)


@dataclass(frozen=True)
class Prepared:
    """A sample that is ready for the model.

    image: Of the model.  boxes: Of its input, ``m 4``.  prompts: The detections of those boxes.
    truths: The annotated objects with their masks, crowds too.
    faults: DetectionResults whose box is no prompt, and annotations whose masks cannot be decoded; both are left out.
    """

    id: str
    size: tuple[int, int]
    image: Tensor
    boxes: Tensor
    prompts: Sequence[Detection]
    truths: Sequence[tuple[Instance, NDArray[np.bool_]]]
    faults: Sequence[Mapping[str, str]]


def build_task(key: AccuracyKey, options: DetectorOptions, device: torch.device) -> Task[InstanceSample, Prepared]:
    """Build the evaluation of a key; raises ValueError where the model cannot be built."""
    dataset: Dataset[InstanceSample] = opened_dataset("coco", options)
    source = open_boxes(options, dataset)
    ids = dataset.facts["category_ids"]
    classes = {str(number): index for index, number in enumerate(ids)}
    protocol = protocols.protocol(key.protocol, key.model.backbone, key.model.size[0])
    weights = weights_of(key, options)
    sam: Any = build_model("sam", key.model, weights, device, {})

    def prepare(sample: InstanceSample) -> Prepared:
        image = sample.image()
        size = (image.shape[0], image.shape[1])
        truths, faults = _truths(sample)
        prompts, boxes, box_faults = prompts_of(source, sample, truths, size)
        inputs = (protocol.image(image), protocol.boxes(boxes, size))
        return Prepared(sample.id, size, *inputs, prompts, truths, [*faults, *box_faults])

    def score(prepared: Prepared) -> Row:
        masks = list(_masks(sam, protocol, prepared, device))
        return _row(prepared, masks, ids, classes)

    faults = [*faults_of(dataset, key.data.images), *source.faults(key.data.images)]
    facts = {"checkpoint": weights.facts(key.model.backbone)}
    summary = partial(summarize, ids, int if dataset.facts["image_ids"] == "numbers" else str)
    return Task(dataset, prepare, score, summary, "iou", faults, facts)


def _masks(
    sam: Any, protocol: protocols.Protocol, prepared: Prepared, device: torch.device
) -> Iterator[NDArray[np.bool_]]:
    """Yield the mask ``h w`` of each prompt, at the size of the image in its file."""
    if not len(prepared.boxes):
        return
    with torch.inference_mode():
        embedding = sam.encode(prepared.image.to(device, next(sam.parameters()).dtype))
        for boxes in prepared.boxes.split(AT_A_TIME):
            logits, scores = sam.decode(embedding, Prompts(boxes=boxes.to(device)))
            check_finite(prepared.id, logits=logits, scores=scores)
            for mask_logits in logits:
                yield protocol.masks(mask_logits[None].float(), prepared.size)[0].cpu().numpy()


def _row(
    prepared: Prepared,
    masks: Sequence[NDArray[np.bool_]],
    ids: Sequence[int | str],
    classes: Mapping[str, int],
) -> Row:
    """Return the journal's row of an image: its annotations, its detections with their masks, and its objects."""
    categories = [classes[str(detection.category)] for detection in prepared.prompts]
    detections = [
        {"category_id": ids[category], "score": detection.score, "segmentation": rle.encode(mask)}
        for detection, category, mask in zip(prepared.prompts, categories, masks, strict=True)
    ]
    objects = [
        _object(instance.category, truth, categories, masks, detections)
        for instance, truth in prepared.truths
        if not instance.crowd
    ]
    return {
        "size": list(prepared.size),
        "annotations": [_annotation(instance, ids[instance.category], truth) for instance, truth in prepared.truths],
        "detections": detections,
        "objects": objects,
        **_means(objects),
        **({"faults": list(prepared.faults)} if prepared.faults else {}),
    }


def _truths(
    sample: InstanceSample,
) -> tuple[list[tuple[Instance, NDArray[np.bool_]]], list[dict[str, str]]]:
    """Return the objects of an image with their masks, and a fault for each whose mask cannot be decoded."""
    truths, faults = [], []
    for instance in sample.instances():
        try:
            truths.append((instance, instance.mask()))
        except BadSample as error:
            faults.append({"id": sample.id, "file": sample.file, "reason": str(error)})
    return truths, faults


def _annotation(instance: Instance, category: int | str, mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return an object as COCO writes it, with its mask as run lengths."""
    flags = {"iscrowd": int(instance.crowd), "ignore": int(instance.ignored)}
    return {"category_id": category, "area": instance.area, **flags, "segmentation": rle.encode(mask)}


def _object(
    category: int,
    truth: NDArray[np.bool_],
    categories: Sequence[int],
    masks: Sequence[NDArray[np.bool_]],
    detections: Sequence[Mapping[str, Any]],
) -> dict[str, float | None]:
    """Score a true object with the detection of its class whose mask fits it best, or with none.

    Traits that an object without a pixel lacks are None, since a row holds no NaN.
    """
    indices = [index for index, other in enumerate(categories) if other == category]
    best = np.zeros_like(truth)
    if indices:
        candidates = [detections[index]["segmentation"] for index in indices]
        overlaps = runs.iou([rle.encode(truth)], candidates, [0] * len(indices))[0]
        best = masks[indices[int(overlaps.argmax())]]
    return {name: None if math.isnan(value) else value for name, value in score_mask(best, truth).items()}


def _means(objects: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the mean scores of the objects of an image; None where it has none."""
    return {name: float(np.mean([scores[name] for scores in objects])) if objects else None for name in SCORES}
