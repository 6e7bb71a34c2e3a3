"""The suite ``ade20k``: class-wise mIoU of a semantic segmenter on ADE20K's validation set, at a single scale.

``whole``
    The whole image: its short side is ``--res`` (512 px), its long side at most four times that.
``slide``
    Squares of ``--res`` out of that image, two thirds of it apart (341 px of 512); where they overlap, the mean.

Logits are resized to the image's size, bilinear, where the labels are as they were drawn; mmsegmentation's and
RWKV-SAM's evaluations do so too. They resize images without antialiasing where Pillow has it. Where a size does not
fit the model's strides, zeros below and to the right fill it up, and their logits are cut off.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from linbench.backbones import backbone
from linbench.data.contract import IGNORED, BadSample, Dataset, SemanticSample
from linbench.metrics.semantic import Confusion, class_iou, mean_iou, metric_intervals, pixel_accuracy, stack_rows
from linbench.models.finite import check_finite
from linbench.models.sam.transforms import DEVIATION_255, MEAN_255
from linbench.suites.accuracy.cells import AccuracyPlan, opened_dataset, weights_of
from linbench.suites.accuracy.key import VERSIONS, AccuracyKey
from linbench.suites.accuracy.models import build_model
from linbench.suites.accuracy.options import AccuracyOptions
from linbench.suites.accuracy.task import Summary, Task, faults_of, percent
from linbench.suites.runner.journal import Row
from linbench.suites.runner.resolutions import Size

WHOLE, SLIDE = "whole", "slide"
LONGEST = 4  # times the short side
COARSEST = 32  # UPerNet's last stride
AT_A_TIME = 16  # classes that are enlarged at a time: 150 of a large image would take gigabytes
EDGES = (("plain", "middle", "busy"), (0.02, 0.05))  # fraction of labelled pixels beside another label


def _protocol(requested: str | None, model: str, size: Size) -> str:
    """Return the requested protocol, or ``whole``; raises ValueError for an unknown one and for two sides."""
    if requested not in (None, WHOLE, SLIDE):
        raise ValueError(f"--protocol {requested}: the suite ade20k has {WHOLE} and {SLIDE}")
    if size[0] != size[1]:
        raise ValueError(
            f"the input is {size[0]}x{size[1]} px, but images keep their shape; give the short side alone as --res"
        )
    return requested or WHOLE


PLAN = AccuracyPlan(
    suite="ade20k",
    version=VERSIONS["ade20k"],
    data="ade20k",
    task="semantic",
    side=512,
    multiple=COARSEST,
    protocol=_protocol,
    protocol_versions={WHOLE: 1, SLIDE: 1},
    entries=("linbench.suites.accuracy.ade20k", "linbench.data.ade20k"),
)


@dataclass(frozen=True)
class Prepared:
    """A sample that is ready for the model.

    image: ``1 3 h w``, resized and normalised.
    truth: ``h w`` of the image in its file, IGNORED where nothing counts.
    """

    id: str
    image: Tensor
    truth: NDArray[np.uint8]


def build_task(key: AccuracyKey, options: AccuracyOptions, device: torch.device) -> Task[SemanticSample, Prepared]:
    """Build the evaluation of a key; raises ValueError where the model cannot be built or has other classes."""
    dataset: Dataset[SemanticSample] = opened_dataset("ade20k", options)
    weights = weights_of(key, options)
    classes, side = len(dataset.classes), key.model.size[0]
    model = build_model("semantic", key.model, weights, device, {"num_classes": classes})
    multiple = math.lcm(COARSEST, backbone[key.model.backbone].facts.get("multiple_of", 1))
    segment: Callable[[Tensor], Tensor] = partial(_padded, model, multiple)
    if key.protocol == SLIDE:
        segment = partial(_slid, segment, side)

    def prepare(sample: SemanticSample) -> Prepared:
        image, truth = sample.image(), sample.labels()
        if truth.shape != image.shape[:2]:
            raise BadSample(f"{sample.file}: its labels are of {truth.shape} px (h, w), it of {image.shape[:2]}")
        if (truth == IGNORED).all():
            raise BadSample(f"{sample.file}: none of its pixels has a label")
        return Prepared(sample.id, resized(image, side), truth)

    def score(prepared: Prepared) -> Row:
        truth = prepared.truth
        with torch.inference_mode():
            logits = segment(prepared.image.to(device, next(model.parameters()).dtype)).float()
            check_finite(prepared.id, logits=logits)
            labels = best_labels(logits, (truth.shape[0], truth.shape[1])).cpu().numpy()
        rows = Confusion(classes, IGNORED).add(labels, truth)
        sums = stack_rows([rows], classes)[0]
        return {"sums": rows, "miou": mean_iou(sums), "pixel_accuracy": pixel_accuracy(sums), "edges": edges(truth)}

    facts = {"checkpoint": weights.facts(key.model.backbone)}
    summary = partial(summarize, dataset.classes)
    return Task(dataset, prepare, score, summary, "miou", faults_of(dataset, key.data.images), facts)


def resized(image: NDArray[np.uint8], side: int) -> Tensor:
    """Return the input ``1 3 h w`` of an image ``h w 3``: the short side is ``side``, the long one bounded."""
    height, width = image.shape[:2]
    scale = min(LONGEST * side / max(height, width), side / min(height, width))
    size = (max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5)))
    pixels = np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN_255, DEVIATION_255))
    return ((torch.from_numpy(pixels).permute(2, 0, 1) - mean) / deviation)[None]


def _padded(model: Callable[[Tensor], Tensor], multiple: int, image: Tensor) -> Tensor:
    """Return the logits of an image of any size."""
    height, width = image.shape[2:]
    whole = functional.pad(image, (0, -width % multiple, 0, -height % multiple))
    return model(whole)[..., :height, :width]


def _slid(segment: Callable[[Tensor], Tensor], side: int, image: Tensor) -> Tensor:
    """Return the mean of the logits of squares that cover the image; a smaller image is padded first."""
    height, width = image.shape[2:]
    whole = functional.pad(image, (0, max(0, side - width), 0, max(0, side - height)))
    total: Tensor | None = None
    counts = whole.new_zeros((1, 1, *whole.shape[2:]), dtype=torch.float32)
    for top, left in windows((whole.shape[2], whole.shape[3]), side):
        logits = segment(whole[..., top : top + side, left : left + side]).float()
        if total is None:
            total = logits.new_zeros((1, logits.shape[1], *whole.shape[2:]))
        total[..., top : top + side, left : left + side] += logits
        counts[..., top : top + side, left : left + side] += 1
    assert total is not None
    return (total / counts)[..., :height, :width]


def windows(size: Size, side: int) -> Iterator[tuple[int, int]]:
    """Yield tops and lefts of squares, two thirds of their side apart; the last of a row ends at the image's edge."""
    stride = side * 2 // 3
    tops, lefts = ([min(stride * i, n - side) for i in range(-(-max(n - side, 0) // stride) + 1)] for n in size)
    yield from ((top, left) for top in tops for left in lefts)


def best_labels(logits: Tensor, size: Size) -> Tensor:
    """Return the class with the highest logit in each pixel of ``size``, ``h w``; of equal ones the first."""
    top, label = None, None
    for start in range(0, logits.shape[1], AT_A_TIME):
        chunk = functional.interpolate(
            logits[:, start : start + AT_A_TIME], size, mode="bilinear", align_corners=False
        )[0]
        value, index = chunk.max(dim=0)
        if top is None or label is None:
            top, label = value, index
        else:
            higher = value > top
            top, label = torch.where(higher, value, top), torch.where(higher, index + start, label)
    assert label is not None
    return label


def edges(truth: NDArray[np.uint8]) -> float:
    """Return the fraction of labelled pixels whose neighbour to the right or below has another label."""
    beside = np.zeros(truth.shape, np.bool_)
    beside[:, :-1] |= truth[:, 1:] != truth[:, :-1]
    beside[:-1] |= truth[1:] != truth[:-1]
    counted = truth != IGNORED
    return int(np.count_nonzero(beside & counted)) / int(np.count_nonzero(counted))


def summarize(classes: Sequence[str], rows: Sequence[Row], seed: int) -> Summary:
    """Return mIoU and pixel accuracy from the pixels of all images, and slices by class and by edges."""
    sums = stack_rows([row["sums"] for row in rows], len(classes))
    total = sums.sum(axis=0)
    values = {"miou": mean_iou(total), "pixel_accuracy": pixel_accuracy(total)}
    metrics = {
        name: {"value": 100 * values[name], "unit": "%", "low": 100 * low, "high": 100 * high, "n": len(rows)}
        for name, (low, high) in metric_intervals(sums, seed).items()
    }
    columns = {name: [row[name] for row in rows] for name in ("id", "miou", "pixel_accuracy", "edges")}
    of_class = {
        f"{number + 1} {classes[number]}": {"iou": {"value": 100 * float(value), "unit": "%", "n": len(rows)}}
        for number, value in enumerate(class_iou(total))
        if not math.isnan(value)
    }
    return Summary(metrics, columns, {"class": of_class, "edges": _by_edges(columns, seed)})


def _by_edges(columns: dict[str, list[Any]], seed: int) -> dict[str, Any]:
    names, bounds = EDGES
    kinds = np.searchsorted(bounds, columns["edges"], side="right")
    result = {}
    for index, name in enumerate(names):
        chosen = np.flatnonzero(kinds == index)
        if chosen.size:
            result[name] = {"pixel_accuracy": percent([columns["pixel_accuracy"][i] for i in chosen], seed)}
    return result
