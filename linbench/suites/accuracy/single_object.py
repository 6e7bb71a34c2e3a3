"""The suites ``dis``, ``coift`` and ``hrsod``: one object in each image, prompted by the box of its true mask.

Each image gives one mask. Its IoU and the IoU of the two boundaries are computed at the size of the original mask,
and their means over images are mIoU and mBIoU, as RWKV-SAM's evaluation does (arXiv 2406.19369, section 4): two empty
masks have an IoU of 0. HQ-SAM's calls that NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linbench.data.contract import BadSample, Dataset, InstanceSample
from linbench.data.ground_truth import THRESHOLD
from linbench.metrics.slices import Traits
from linbench.models.finite import check_finite
from linbench.models.sam import Prompts
from linbench.suites.accuracy import protocols
from linbench.suites.accuracy.cells import AccuracyPlan, BoxSource, opened_dataset, weights_of
from linbench.suites.accuracy.key import VERSIONS, AccuracyKey
from linbench.suites.accuracy.models import build_model
from linbench.suites.accuracy.objects import SCORES, score_mask, slices
from linbench.suites.accuracy.options import SegmenterOptions
from linbench.suites.accuracy.task import Summary, Task, faults_of, percent
from linbench.suites.runner.journal import Row


def plan_of(name: str) -> AccuracyPlan:
    """Return the plan of one of the suites."""
    return AccuracyPlan(
        suite=name,
        version=VERSIONS[name],
        data=name,
        task="sam",
        side=1024,
        multiple=16,
        protocol=protocols.protocol_name,
        protocol_versions=protocols.VERSIONS,
        entries=("linbench.suites.accuracy.single_object", "linbench.data.single_object"),
        boxes=lambda options, dataset: BoxSource("ground truth"),
    )


@dataclass(frozen=True)
class Prepared:
    """A sample that is ready for the model.

    image: Of the model.  box: Of its input.  truth: The mask, ``h w`` of the image in its file.
    """

    id: str
    image: Tensor
    box: Tensor
    truth: NDArray[np.bool_]


def build_task(key: AccuracyKey, options: SegmenterOptions, device: torch.device) -> Task[InstanceSample, Prepared]:
    """Build the evaluation of a key; raises ValueError where the model cannot be built."""
    dataset: Dataset[InstanceSample] = opened_dataset(key.suite, options)
    protocol = protocols.protocol(key.protocol, key.model.backbone, key.model.size[0])
    weights = weights_of(key, options)
    sam: Any = build_model("sam", key.model, weights, device, {})

    def prepare(sample: InstanceSample) -> Prepared:
        image, (grey, truth) = sample.image(), _truth(sample)
        if truth.shape != image.shape[:2]:
            raise BadSample(f"{sample.file}: its mask is of {truth.shape} px (h, w), the image {image.shape[:2]}")
        if not truth.any():
            raise BadSample(f"{sample.file}: its mask has no pixel, so it has no box")
        return Prepared(sample.id, protocol.image(image), protocol.box(grey), truth)

    def score(prepared: Prepared) -> Row:
        height, width = prepared.truth.shape
        with torch.inference_mode():
            embedding = sam.encode(prepared.image.to(device, next(sam.parameters()).dtype))
            logits, scores = sam.decode(embedding, Prompts(boxes=prepared.box[None].to(device)))
            check_finite(prepared.id, logits=logits, scores=scores)
            mask = protocol.masks(logits.float(), (height, width))[0].cpu().numpy()
        return score_mask(mask, prepared.truth)

    facts = {"checkpoint": weights.facts(key.model.backbone)}
    return Task(dataset, prepare, score, summarize, "iou", faults_of(dataset, key.data.images), facts)


def _truth(sample: InstanceSample) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the grey values of the only object's label ``h w``, and its mask; raises BadSample."""
    instances = sample.instances()
    if len(instances) != 1:
        raise BadSample(f"{sample.file}: it has {len(instances)} objects; here an image has one")
    only = instances[0]
    grey = only.grey() if only.grey else only.mask().astype(np.uint8) * 255
    return grey, grey > THRESHOLD


def summarize(rows: Sequence[Row], seed: int) -> Summary:
    """Return means over images with their intervals, the scores of each image, and both by traits of the objects."""
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in ("id", *SCORES, *Traits._fields)}
    metrics = {f"m{name}": percent(columns[name], seed) for name in SCORES}
    return Summary(metrics, columns, slices(columns, seed))
