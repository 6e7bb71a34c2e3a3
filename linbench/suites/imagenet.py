"""The suite ``imagenet``: top-1 and top-5 of a classifier on ImageNet-1k's validation set.

The short side is resized so that the input is 0.875 of it (256 px for 224; Pillow's bicubic, antialiased), and the
centre is cut out, as torchvision's, DeiT's and RWKV-SAM's evaluations do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from linbench.data.contract import ClassSample, Dataset
from linbench.metrics.classification import ranks
from linbench.models.finite import check_finite
from linbench.models.sam.transforms import DEVIATION, MEAN
from linbench.suites.accuracy import models
from linbench.suites.accuracy.cells import Plan, cells, opened, weights_of
from linbench.suites.accuracy.journal import Row
from linbench.suites.accuracy.task import Summary, Task, faults_of, percent
from linbench.suites.contract import Cell, Choices, Suite, suite
from linbench.suites.options import ACCURACY
from linbench.suites.resolutions import Size

VERSION = 1
PROTOCOL = "centre-crop"
CROP = 0.875  # of the resized short side
FIVE = 5


@suite("imagenet", version=VERSION)
def imagenet() -> Suite:
    """Top-1 and top-5 of a classifier on ImageNet-1k."""
    return Suite(
        partial(cells, PLAN),
        task=task,
        takes=ACCURACY,
        named_by=("suite", "backbone", "size", "dtype", "protocol", "dataset"),
    )


def _protocol(asked: str | None, model: str, size: Size) -> str:
    if asked not in (None, PROTOCOL):
        raise ValueError(f"--protocol {asked}: the suite imagenet has {PROTOCOL} only")
    if size[0] != size[1]:
        raise ValueError(
            f"the input is {size[0]}x{size[1]} px, but a square is cut out of each picture; give its side as --res"
        )
    return PROTOCOL


PLAN = Plan(
    suite="imagenet",
    version=VERSION,
    data="imagenet",
    task="classifier",
    side=224,
    protocol=_protocol,
    protocol_versions={PROTOCOL: 1},
    entries=("linbench.suites.imagenet", "linbench.data.imagenet"),
)


@dataclass(frozen=True)
class Ready:
    """image: ``1 3 s s``, normalised.  label: Index of its class."""

    id: str
    image: Tensor
    label: int


def task(cell: Cell, choices: Choices, device: torch.device) -> Task[ClassSample, Ready]:
    """The evaluation of a cell; raises ValueError where the model cannot be had or has other classes."""
    dataset: Dataset[ClassSample] = opened("imagenet", choices)
    weights = weights_of(cell, choices)
    model = models.of("classifier", cell.key, weights, device, {"num_classes": len(dataset.classes)})

    def prepare(sample: ClassSample) -> Ready:
        return Ready(sample.id, centre(sample.image(), cell.key["height"]), sample.label)

    def score(ready: Ready) -> Row:
        with torch.inference_mode():
            logits = model(ready.image.to(device, next(model.parameters()).dtype))[0].float()
        check_finite(ready.id, logits=logits)
        scores = logits.cpu().numpy()
        place = int(ranks(scores[None], [ready.label])[0])
        return {
            "top1": float(place < 1),
            "top5": float(place < FIVE),
            "label": ready.label,
            "answer": int(scores.argmax()),
        }

    facts = {"checkpoint": weights.facts(cell.key["backbone"])}
    return Task(dataset, prepare, score, summary, "top1", faults_of(dataset, cell.key["images"]), facts)


def centre(picture: NDArray[np.uint8], side: int) -> Tensor:
    """The normalised centre ``1 3 s s`` of a picture ``h w 3``."""
    height, width = picture.shape[:2]
    short = int(side / CROP)
    if height <= width:
        size = (max(side, int(short * width / height)), short)
    else:
        size = (short, max(side, int(short * height / width)))
    resized = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
    left, top = (round((n - side) / 2) for n in size)
    x = torch.from_numpy(np.array(resized.crop((left, top, left + side, top + side)))).permute(2, 0, 1)
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    return ((x / 255 - mean) / deviation)[None]


def summary(rows: Sequence[Row], seed: int) -> Summary:
    """The share of images whose class is the first answer, and among the first five, and the answers themselves."""
    columns: dict[str, Any] = {
        name: [row[name] for row in rows] for name in ("id", "top1", "top5", "label", "answer")
    }
    return Summary({name: percent(columns[name], seed) for name in ("top1", "top5")}, columns)
