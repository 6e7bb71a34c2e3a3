"""``linbench.evaluate``: scores of any segmenter on images with masks, as the suites ``masks`` and ``dis`` do it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from linbench.choices import choose
from linbench.data.contract import BadSample, Dataset, Instance, InstanceSample
from linbench.data.ground_truth import THRESHOLD
from linbench.data.roots import open_dataset
from linbench.models.sam import Prompts
from linbench.models.segmenter import Segmenter
from linbench.reports.decide.marks import FEWEST_IMAGES
from linbench.reports.render.table import Table, to_html, to_terminal
from linbench.suites.accuracy.evaluation import SEED
from linbench.suites.accuracy.masks import object_grey, summarize
from linbench.suites.accuracy.objects import SCORES, score_mask
from linbench.suites.accuracy.protocols import tight
from linbench.suites.accuracy.task import percent

Mask: TypeAlias = NDArray[np.bool_]
#: Takes an image ``h w 3`` of uint8 and boxes ``m 4`` (x0 y0 x1 y1, px, corners are pixels of the object); returns
#: masks ``m h w`` of bool, as an array or a tensor.
Predict: TypeAlias = Callable[[NDArray[np.uint8], NDArray[np.float32]], Any]
#: A score from 0 to 1 of a predicted mask and the true one, both ``h w``.
Metric: TypeAlias = Callable[[Mask, Mask], float]
#: A registered name, an opened dataset, or pairs of an image ``h w 3`` and its mask: ``h w`` of bool for one object,
#: ``m h w`` for several.
Data: TypeAlias = str | Dataset[InstanceSample] | Sequence[tuple[NDArray[np.uint8], Mask]]

METRICS = ("miou", "mbiou", "object_miou", "object_mbiou")


@dataclass(frozen=True)
class Scores:
    """Scores of a segmenter on a dataset. Printed, and shown by a notebook, as a table of the aggregates.

    metrics: Name to value, unit, ends of the 95 % interval over images, and n images.
    images: One row for each image: means over its objects, 0 to 1.
    objects: One row for each object: its scores, 0 to 1, and traits of its true mask.
    slices: Means by kind and class of object, such as ``slices["thinness"]["thin"]["miou"]``.
    skipped: Images that could not be used, each with id, file and reason.
    """

    dataset: str
    metrics: Mapping[str, Mapping[str, Any]]
    images: pd.DataFrame
    objects: pd.DataFrame
    slices: Mapping[str, Any] = field(default_factory=dict)
    skipped: Sequence[Mapping[str, str]] = ()

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each metric: value, low, high, unit, n; low and high end its 95 % interval."""
        return pd.DataFrame([{"metric": name, **metric} for name, metric in self.metrics.items()])

    def table(self) -> Table:
        """Return the aggregates as a table."""
        rows = tuple(
            (name, f"{m['value']:.2f}", f"{m['low']:.2f}–{m['high']:.2f}", str(m["n"]))
            for name, m in self.metrics.items()
        )
        few = f"fewer than {FEWEST_IMAGES} images: their interval is too narrow."
        notes = [few] * (len(self.images) < FEWEST_IMAGES)
        if self.skipped:
            notes.append(f"{len(self.skipped)} skipped; the first: {self.skipped[0]['reason']}")
        return Table(f"{self.dataset}: {len(self.images)} images", ("metric", "%", "95 %", "n"), rows, tuple(notes))

    def __repr__(self) -> str:
        return to_terminal(self.table(), 80)

    def _repr_html_(self) -> str:
        return to_html(self.table())


def evaluate(
    segmenter: Segmenter | Predict,
    dataset: Data,
    metrics: Sequence[str | Metric] = METRICS,
    *,
    data: str | None = None,
    images: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Scores:
    """Score the masks that ``segmenter`` predicts from the box of each object's true mask.

    segmenter: Of ``models.segmenter.load_segmenter``, or a function of an image and boxes (see ``Predict``).
    dataset: A registered name such as ``dis``, an opened dataset, or pairs of images and masks (see ``Data``).
    metrics: ``miou`` and ``mbiou``, means over images of the mean over their objects; ``object_miou`` and
        ``object_mbiou``, means over objects; and functions of two masks, whose mean is taken over images.
    data: Folder of all datasets, for a name; by default LINBENCH_DATA.
    images: The first so many; by default all.
    progress: Takes a line for each image.

    An image that cannot be read is skipped, and ``Scores.skipped`` names it. Raises UnknownName, BadDataset, and
    ValueError for masks of another shape, for an unknown metric, and where no image could be used.
    """
    names = [choose("metrics", metric, METRICS) for metric in metrics if isinstance(metric, str)]
    functions = {getattr(metric, "__name__", "metric"): metric for metric in metrics if not isinstance(metric, str)}
    if not names and not functions:
        raise ValueError(f"metrics is empty; allowed are {', '.join(METRICS)}, and functions of two masks")
    opened = open_dataset(dataset, "val", data, images=images) if isinstance(dataset, str) else dataset
    predict = partial(_predict, segmenter) if isinstance(segmenter, Segmenter) else segmenter
    rows: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    count = len(opened) if images is None else min(images, len(opened))
    for index in range(count):
        sample = _sample(opened, index)
        try:
            row = _score(sample, predict, functions)
        except BadSample as error:
            skipped.append({"id": sample.id, "file": sample.file, "reason": str(error)})
        else:
            rows.append(row)
            if progress:
                progress(f"{index + 1}/{count} {sample.id}: iou {row['iou']:.3f}")
    if not rows:
        raise ValueError(f"no image could be used: {skipped[0]['reason'] if skipped else 'the dataset has none'}")
    return _scores(getattr(opened, "name", "images"), rows, names, functions, skipped)


def _scores(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    functions: Mapping[str, Metric],
    skipped: Sequence[Mapping[str, str]],
) -> Scores:
    """Return aggregates and scores of the rows, as the suite ``masks`` summarizes them."""
    summary = summarize(rows, SEED)
    own = {f"m{function}": percent([row[function] for row in rows], SEED) for function in functions}
    columns = {column: [row[column] for row in rows] for column in ("id", *SCORES, *functions)}
    objects = [{"image": row["id"], "object": entry["id"], **entry} for row in rows for entry in row["objects"]]
    return Scores(
        dataset=name,
        metrics={metric: summary.metrics[metric] for metric in names} | own,
        images=pd.DataFrame(columns | {"objects": [len(row["objects"]) for row in rows]}),
        objects=pd.DataFrame(objects).drop(columns="id"),
        slices=summary.slices,
        skipped=skipped,
    )


def _score(sample: InstanceSample, predict: Predict, functions: Mapping[str, Metric]) -> dict[str, Any]:
    """Return the row of an image; raises BadSample where it cannot be used, ValueError for masks that are none."""
    image = sample.image()
    instances = [instance for instance in sample.instances() if not instance.crowd]
    if not instances:
        raise BadSample(f"{sample.file}: it has no object")
    truths = [object_grey(sample, instance, image.shape[:2]) > THRESHOLD for instance in instances]
    boxes = np.stack([tight(torch.from_numpy(truth)).numpy() for truth in truths])
    masks = _masks(predict(image, boxes), (len(boxes), *image.shape[:2]))
    objects = [
        {
            "id": instance.id,
            **score_mask(mask, truth),
            **{name: float(function(mask, truth)) for name, function in functions.items()},
        }
        for instance, mask, truth in zip(instances, masks, truths, strict=True)
    ]
    means = {name: float(np.mean([entry[name] for entry in objects])) for name in (*SCORES, *functions)}
    return {"id": sample.id, "objects": objects, **means}


def _predict(segmenter: Segmenter, image: NDArray[np.uint8], boxes: NDArray[np.float32]) -> Mask:
    """Return the mask of each box, ``m h w``."""
    predicted = segmenter.predict(image, Prompts(boxes=torch.from_numpy(boxes)))
    return np.stack([masks.masks[0] for masks in predicted])


def _masks(predicted: Any, shape: tuple[int, ...]) -> Mask:
    """Return what a function returned as masks ``m h w``; raises ValueError where it is something else."""
    masks = predicted.detach().cpu().numpy() if isinstance(predicted, Tensor) else np.asarray(predicted)
    if masks.shape != shape or masks.dtype != np.bool_:
        raise ValueError(
            f"the segmenter returned {masks.dtype} of shape {masks.shape}; masks are bool, {shape} (boxes, height, "
            "width): compare logits with 0, or probabilities with 0.5"
        )
    return masks


def _sample(opened: Any, index: int) -> InstanceSample:
    """Return a sample of a dataset, or the sample of a pair of an image and its masks."""
    sample = opened[index]
    if isinstance(sample, InstanceSample):
        return sample
    if not isinstance(sample, tuple) or len(sample) != 2:
        raise TypeError(
            f"dataset[{index}] is {type(sample).__name__}; an image with its mask, or a sample, is needed"
        )
    image, masks = (np.asarray(part) for part in sample)
    return InstanceSample(str(index), f"image {index}", lambda: image, partial(_instances, masks))


def _instances(masks: NDArray[Any]) -> tuple[Instance, ...]:
    """Return an object for each mask of ``h w`` or ``m h w``; its id is its number where there are several."""
    listed = [masks] if masks.ndim == 2 else list(masks)
    ids = [""] if len(listed) == 1 else [str(number) for number in range(len(listed))]
    return tuple(
        Instance(partial(np.asarray, mask, np.bool_), id=name) for name, mask in zip(ids, listed, strict=True)
    )
