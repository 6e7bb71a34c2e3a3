"""The suite ``masks``: every object of a user's images, each prompted by the box of its true mask.

An image is encoded once, and each of its objects is a prompt. IoU and boundary IoU are computed at the size of the
mask in its file. ``miou`` and ``mbiou`` are means over images of the mean over the objects of each, so that an image
is the unit of the interval and of comparisons, as in the suites of one object, with which they agree where images
have one. ``object_miou`` and ``object_mbiou`` are means over all objects; their interval resamples images too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linbench.data.contract import BadDataset, BadSample, Dataset, Instance, InstanceSample, dataset
from linbench.data.ground_truth import THRESHOLD
from linbench.metrics.intervals import bootstrap
from linbench.metrics.slices import Traits
from linbench.models.finite import check_finite
from linbench.models.sam import Prompts
from linbench.suites.accuracy import protocols
from linbench.suites.accuracy.cells import AccuracyPlan, BoxSource, opened_dataset, weights_of
from linbench.suites.accuracy.key import VERSIONS, AccuracyKey
from linbench.suites.accuracy.models import build_model
from linbench.suites.accuracy.objects import SCORES, score_mask, slices
from linbench.suites.accuracy.options import MaskOptions
from linbench.suites.accuracy.task import Summary, Task, faults_of, percent
from linbench.suites.runner.journal import Row

AT_A_TIME = 64  # prompts whose logits are in memory at a time


def plan_of(options: MaskOptions) -> AccuracyPlan:
    """Return the plan for the user's folders, or for the registered dataset that the options name."""
    reader = dataset[options.dataset].source if options.dataset else "linbench.data.mask_folders"
    return AccuracyPlan(
        suite="masks",
        version=VERSIONS["masks"],
        data=options.dataset or "masks",
        task="sam",
        side=1024,
        multiple=16,
        protocol=protocols.protocol_name,
        protocol_versions=protocols.VERSIONS,
        entries=("linbench.suites.accuracy.masks", reader),
        boxes=lambda options, dataset: BoxSource("ground truth"),
    )


@dataclass(frozen=True)
class Prepared:
    """A sample that is ready for the model.

    image: Of the model.  boxes: Of its input, ``m 4``.
    names: The id of each object; empty for an only object without one.
    truths: The masks, ``h w`` of the image in its file.
    """

    id: str
    image: Tensor
    boxes: Tensor
    names: Sequence[str]
    truths: Sequence[NDArray[np.bool_]]


def build_task(key: AccuracyKey, options: MaskOptions, device: torch.device) -> Task[InstanceSample, Prepared]:
    """Build the evaluation of a key; raises ValueError where the model cannot be built."""
    data: Dataset[InstanceSample] = opened_dataset(options.dataset or "masks", options)
    if len(data) and not isinstance(data[0], InstanceSample):
        raise BadDataset(f"--dataset {options.dataset}: its samples have no objects, which the suite masks prompts")
    protocol = protocols.protocol(key.protocol, key.model.backbone, key.model.size[0])
    weights = weights_of(key, options)
    sam: Any = build_model("sam", key.model, weights, device, {})

    def prepare(sample: InstanceSample) -> Prepared:
        image = sample.image()
        instances = [instance for instance in sample.instances() if not instance.crowd]
        if not instances:
            raise BadSample(f"{sample.file}: it has no object")
        greys = [_grey(sample, instance, image.shape[:2]) for instance in instances]
        boxes = torch.stack([protocol.box(grey) for grey in greys])
        names = [instance.id for instance in instances]
        return Prepared(sample.id, protocol.image(image), boxes, names, [grey > THRESHOLD for grey in greys])

    def score(prepared: Prepared) -> Row:
        masks = _masks(sam, protocol, prepared, device)
        named = zip(prepared.names, masks, prepared.truths, strict=True)
        objects = [{"id": name, **score_mask(mask, truth)} for name, mask, truth in named]
        return {"objects": objects, **{name: float(np.mean([row[name] for row in objects])) for name in SCORES}}

    facts = {"checkpoint": weights.facts(key.model.backbone)}
    return Task(data, prepare, score, summarize, "iou", faults_of(data, key.data.images), facts)


def _masks(
    sam: Any, protocol: protocols.Protocol, prepared: Prepared, device: torch.device
) -> Iterator[NDArray[np.bool_]]:
    """Yield the mask ``h w`` of each prompt, at the size of the image in its file."""
    height, width = prepared.truths[0].shape
    with torch.inference_mode():
        embedding = sam.encode(prepared.image.to(device, next(sam.parameters()).dtype))
        for boxes in prepared.boxes.split(AT_A_TIME):
            logits, scores = sam.decode(embedding, Prompts(boxes=boxes.to(device)))
            check_finite(prepared.id, logits=logits, scores=scores)
            for mask_logits in logits:
                yield protocol.masks(mask_logits[None].float(), (height, width))[0].cpu().numpy()


def _grey(sample: InstanceSample, instance: Instance, size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the grey values of an object's mask ``h w``; raises BadSample where it is no prompt."""
    grey = instance.grey() if instance.grey else instance.mask().astype(np.uint8) * 255
    if grey.shape != size:
        raise BadSample(f"{sample.file}: a mask of {grey.shape} px (h, w), the image has {tuple(size)}")
    if not (grey > THRESHOLD).any():
        raise BadSample(f"{sample.file}: the mask {instance.id} has no pixel, so it has no box")
    return grey


def summarize(rows: Sequence[Row], seed: int) -> Summary:
    """Return the means over images and over objects with their intervals, the scores of both, and slices of objects.

    The columns ``object`` and ``object_iou`` … hold for each image a list, one entry for each of its objects.
    """
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in ("id", *SCORES)}
    columns["objects"] = [len(row["objects"]) for row in rows]
    columns["object"] = [[entry["id"] for entry in row["objects"]] for row in rows]
    metrics = {f"m{name}": percent(columns[name], seed) for name in SCORES}
    for name in SCORES:
        columns[f"object_{name}"] = [[entry[name] for entry in row["objects"]] for row in rows]
        metrics[f"object_m{name}"] = _over_objects(columns[f"object_{name}"], seed)
    objects = {name: [entry[name] for row in rows for entry in row["objects"]] for name in (*SCORES, *Traits._fields)}
    return Summary(metrics, columns, slices(objects, seed))


def _over_objects(scores: Sequence[Sequence[float]], seed: int) -> dict[str, Any]:
    """Return the mean over all objects in percent; its interval resamples images with all of their objects."""
    sums, numbers = np.array([sum(of_image) for of_image in scores]), np.array([len(of_image) for of_image in scores])
    low, high = bootstrap(lambda counts: float((counts * sums).sum() / (counts * numbers).sum()), len(scores), seed)
    value = float(sums.sum() / numbers.sum())
    return {"value": 100 * value, "unit": "%", "low": 100 * low, "high": 100 * high, "n": len(scores)}
