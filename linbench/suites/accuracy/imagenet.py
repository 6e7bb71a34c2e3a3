"""The suite ``imagenet``: top-1 and top-5 of a classifier on ImageNet-1k's validation set.

The short side is resized so that the input is 0.875 of it (256 px for 224; Pillow's bicubic, antialiased), and the
centre is cut out, as torchvision's, DeiT's and RWKV-SAM's evaluations do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
from linbench.suites.accuracy.cells import AccuracyPlan, opened_dataset, weights_of
from linbench.suites.accuracy.key import VERSIONS, AccuracyKey
from linbench.suites.accuracy.models import build_model
from linbench.suites.accuracy.options import AccuracyOptions
from linbench.suites.accuracy.task import Summary, Task, faults_of, percent
from linbench.suites.runner.journal import Row
from linbench.suites.runner.resolutions import Size

PROTOCOL = "centre-crop"
CROP = 0.875  # of the resized short side
FIVE = 5


def _protocol(requested: str | None, model: str, size: Size) -> str:
    """Return the only protocol; raises ValueError for another one and for an input that is no square."""
    if requested not in (None, PROTOCOL):
        raise ValueError(f"--protocol {requested}: the suite imagenet has {PROTOCOL} only")
    if size[0] != size[1]:
        raise ValueError(
            f"the input is {size[0]}x{size[1]} px, but a square is cut out of each image; give its side as --res"
        )
    return PROTOCOL


PLAN = AccuracyPlan(
    suite="imagenet",
    version=VERSIONS["imagenet"],
    data="imagenet",
    task="classifier",
    side=224,
    protocol=_protocol,
    protocol_versions={PROTOCOL: 1},
    entries=("linbench.suites.accuracy.imagenet", "linbench.data.imagenet"),
)


@dataclass(frozen=True)
class Prepared:
    """A sample that is ready for the model: the image ``1 3 s s``, normalised, and the index of its class."""

    id: str
    image: Tensor
    label: int


def build_task(key: AccuracyKey, options: AccuracyOptions, device: torch.device) -> Task[ClassSample, Prepared]:
    """Build the evaluation of a key; raises ValueError where the model cannot be built or has other classes."""
    dataset: Dataset[ClassSample] = opened_dataset("imagenet", options)
    weights = weights_of(key, options)
    model = build_model("classifier", key.model, weights, device, {"num_classes": len(dataset.classes)})

    def prepare(sample: ClassSample) -> Prepared:
        return Prepared(sample.id, centre_crop(sample.image(), key.model.size[0]), sample.label)

    def score(prepared: Prepared) -> Row:
        with torch.inference_mode():
            logits = model(prepared.image.to(device, next(model.parameters()).dtype))[0].float()
        check_finite(prepared.id, logits=logits)
        scores = logits.cpu().numpy()
        rank = int(ranks(scores[None], [prepared.label])[0])
        return {
            "top1": float(rank < 1),
            "top5": float(rank < FIVE),
            "label": prepared.label,
            "answer": int(scores.argmax()),
        }

    facts = {"checkpoint": weights.facts(key.model.backbone)}
    return Task(dataset, prepare, score, summarize, "top1", faults_of(dataset, key.data.images), facts)


def centre_crop(image: NDArray[np.uint8], side: int) -> Tensor:
    """Return the normalised centre ``1 3 s s`` of an image ``h w 3``."""
    height, width = image.shape[:2]
    short = int(side / CROP)
    if height <= width:
        size = (max(side, int(short * width / height)), short)
    else:
        size = (short, max(side, int(short * height / width)))
    resized = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    left, top = (round((n - side) / 2) for n in size)
    x = torch.from_numpy(np.array(resized.crop((left, top, left + side, top + side)))).permute(2, 0, 1)
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    return ((x / 255 - mean) / deviation)[None]


def summarize(rows: Sequence[Row], seed: int) -> Summary:
    """Return the fraction of images whose class is the first answer, or among the first five, and the answers."""
    columns: dict[str, Any] = {
        name: [row[name] for row in rows] for name in ("id", "top1", "top5", "label", "answer")
    }
    return Summary({name: percent(columns[name], seed) for name in ("top1", "top5")}, columns)
