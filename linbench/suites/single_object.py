"""The suites ``dis``, ``coift`` and ``hrsod``: one object in each picture, asked for by the box of its true mask.

Each image gives one mask. Its IoU and the IoU of the two boundaries are taken at the size of the original mask, and
their means over images are mIoU and mBIoU, as RWKV-SAM's evaluation does (arXiv 2406.19369, section 4): two empty
masks have an IoU of 0. HQ-SAM's calls that NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
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
from linbench.suites.accuracy import models, protocols
from linbench.suites.accuracy.cells import Boxes, Plan, cells, opened, weights_of
from linbench.suites.accuracy.journal import Row
from linbench.suites.accuracy.objects import SCORES, compared, slices
from linbench.suites.accuracy.task import Summary, Task, faults_of, percent
from linbench.suites.contract import Cell, Choices, Suite, suite
from linbench.suites.options import SEGMENTERS

VERSION = 1
NAMED_BY = ("suite", "backbone", "size", "dtype", "fusion", "protocol", "dataset")


@suite("dis", version=VERSION)
def dis() -> Suite:
    """mIoU and mBIoU of DIS5K's validation set: finely cut objects."""
    return _suite("dis")


@suite("coift", version=VERSION)
def coift() -> Suite:
    """mIoU and mBIoU of COIFT: thin objects."""
    return _suite("coift")


@suite("hrsod", version=VERSION)
def hrsod() -> Suite:
    """mIoU and mBIoU of HRSOD: salient objects of high resolution."""
    return _suite("hrsod")


def _suite(name: str) -> Suite:
    plan = Plan(
        suite=name,
        version=VERSION,
        data=name,
        task="sam",
        side=1024,
        multiple=16,
        protocol=protocols.name_of,
        protocol_versions=protocols.VERSIONS,
        entries=("linbench.suites.single_object", "linbench.data.single_object"),
        boxes=lambda choices, dataset: Boxes("ground truth"),
    )
    return Suite(partial(cells, plan), task=partial(task, plan), takes=SEGMENTERS, named_by=NAMED_BY)


@dataclass(frozen=True)
class Ready:
    """image: Of the model.  box: Of its input.  truth: The mask, ``h w`` of the picture."""

    id: str
    image: Tensor
    box: Tensor
    truth: NDArray[np.bool_]


def task(plan: Plan, cell: Cell, choices: Choices, device: torch.device) -> Task[InstanceSample, Ready]:
    """The evaluation of a cell; raises ValueError where the model cannot be had."""
    dataset: Dataset[InstanceSample] = opened(plan.data, choices)
    way = protocols.protocol(cell.key["protocol"], cell.key["backbone"], cell.key["height"])
    weights = weights_of(cell, choices)
    sam: Any = models.of("sam", cell.key, weights, device, {})

    def prepare(sample: InstanceSample) -> Ready:
        picture = sample.image()
        found = sample.instances()
        if len(found) != 1:
            raise BadSample(f"{sample.file}: it has {len(found)} objects; here a picture has one")
        grey = found[0].grey() if found[0].grey else found[0].mask().astype(np.uint8) * 255
        truth = grey > THRESHOLD
        if truth.shape != picture.shape[:2]:
            raise BadSample(f"{sample.file}: its mask is of {truth.shape} px (h, w), the picture {picture.shape[:2]}")
        if not truth.any():
            raise BadSample(f"{sample.file}: its mask has no pixel, so it has no box")
        return Ready(sample.id, way.image(picture), way.box(grey), truth)

    def score(ready: Ready) -> Row:
        height, width = ready.truth.shape
        with torch.inference_mode():
            embedding = sam.encode(ready.image.to(device, next(sam.parameters()).dtype))
            logits, scores = sam.decode(embedding, Prompts(boxes=ready.box[None].to(device)))
            check_finite(ready.id, logits=logits, scores=scores)
            mask = way.masks(logits.float(), (height, width))[0].cpu().numpy()
        return compared(mask, ready.truth)

    facts = {"checkpoint": weights.facts(cell.key["backbone"])}
    return Task(dataset, prepare, score, summary, "iou", faults_of(dataset, cell.key["images"]), facts)


def summary(rows: Sequence[Row], seed: int) -> Summary:
    """Means over images with their intervals, the scores of each image, and both by what the objects look like."""
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in ("id", *SCORES, *Traits._fields)}
    metrics = {f"m{name}": percent(columns[name], seed) for name in SCORES}
    return Summary(metrics, columns, slices(columns, seed))
