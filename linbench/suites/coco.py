"""The suite ``coco``: mask AP and boundary AP on COCO's val2017, asked for by a detector's boxes.

Every box of the detector's file is a prompt; class and score stay the detector's, and the mask is the segmenter's
one mask (arXiv 2406.19369, section 4; the boxes are ViTDet-H's). A detection's size is its mask's, as in mmdetection
and RWKV-SAM. An image without a box counts with the objects that were missed.

The scores of single images, and the slices, are of objects: each true object but crowds with the detection of its
class that fits it best. An object without a pixel is missed.

The annotations that the data set validates and gives are what is evaluated: each image's row holds them as run
lengths, and the summary is of the rows alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as runs
from torch import Tensor

from linbench.coco import rle
from linbench.coco.detections import Detection, DetectionResults, read_results
from linbench.coco.entry import corners
from linbench.data.contract import BadDataset, BadSample, Dataset, Instance, InstanceSample
from linbench.data.prompts import box_fault
from linbench.metrics.coco import coco_evaluation
from linbench.metrics.slices import Traits
from linbench.models.finite import check_finite
from linbench.models.sam import Prompts
from linbench.suites.accuracy import models, protocols
from linbench.suites.accuracy.cells import Boxes, Plan, cells, opened, weights_of
from linbench.suites.accuracy.journal import Row
from linbench.suites.accuracy.objects import SCORES, compared, slices
from linbench.suites.accuracy.task import Summary, Task, faults_of
from linbench.suites.contract import Cell, Choices, Suite, suite
from linbench.suites.options import DETECTED

VERSION = 1
KEPT = 64  # prompts whose logits are kept at a time
#: Names under which ViTDet-H's boxes are passed on, in the order in which they are taken; the embedded set's last.
KNOWN = ("coco_instances_results_vitdet.json", "coco_vitdet.json", "coco_instances_results_val2017.json")


@suite("coco", version=VERSION)
def coco() -> Suite:
    """Mask AP and boundary AP on COCO val2017, from a detector's boxes."""
    return Suite(
        partial(cells, PLAN),
        task=task,
        takes=DETECTED,
        named_by=("suite", "backbone", "size", "dtype", "fusion", "protocol", "dataset"),
    )


def _boxes(choices: Choices, dataset: Dataset[Any]) -> Boxes:
    file = _file(choices, dataset)
    return Boxes(file.name, _detections(file).checksum)


PLAN = Plan(
    suite="coco",
    version=VERSION,
    data="coco",
    task="sam",
    side=1024,
    multiple=16,
    protocol=protocols.name_of,
    protocol_versions=protocols.VERSIONS,
    entries=("linbench.suites.coco", "linbench.data.coco"),
    boxes=_boxes,
)


@dataclass(frozen=True)
class Ready:
    """image: Of the model.  boxes: Of its input, ``m 4``.  asked: The detections.
    truths: The annotated objects with their masks, crowds too.
    faults: Detections whose box is no prompt, and annotations whose masks cannot be decoded; both are left out.
    """

    id: str
    size: tuple[int, int]
    image: Tensor
    boxes: Tensor
    asked: Sequence[Detection]
    truths: Sequence[tuple[Instance, NDArray[np.bool_]]]
    faults: Sequence[Mapping[str, str]]


def task(cell: Cell, choices: Choices, device: torch.device) -> Task[InstanceSample, Ready]:
    """The evaluation of a cell; raises ValueError where the model cannot be had."""
    dataset: Dataset[InstanceSample] = opened("coco", choices)
    detections = _detections(_file(choices, dataset))
    ids = dataset.facts["category_ids"]
    classes = {str(number): place for place, number in enumerate(ids)}
    way = protocols.protocol(cell.key["protocol"], cell.key["backbone"], cell.key["height"])
    weights = weights_of(cell, choices)
    sam: Any = models.of("sam", cell.key, weights, device, {})

    def prepare(sample: InstanceSample) -> Ready:
        picture = sample.image()
        size = (picture.shape[0], picture.shape[1])
        truths, faults = _truths(sample)
        asked, boxes, box_faults = _prompts(detections, sample.id, size, classes)
        return Ready(
            sample.id, size, way.image(picture), way.boxes(boxes, size), asked, truths, [*faults, *box_faults]
        )

    def score(ready: Ready) -> Row:
        masks = list(_masks(ready))
        found = [
            {"category_id": ids[classes[str(one.category)]], "score": one.score, "segmentation": rle.encode(mask)}
            for one, mask in zip(ready.asked, masks, strict=True)
        ]
        of = [classes[str(one.category)] for one in ready.asked]
        objects = [_object(one.category, truth, of, masks, found) for one, truth in ready.truths if not one.crowd]
        return {
            "size": list(ready.size),
            "annotations": [_annotation(one, ids[one.category], truth) for one, truth in ready.truths],
            "detections": found,
            "objects": objects,
            **_means(objects),
            **({"faults": list(ready.faults)} if ready.faults else {}),
        }

    def _masks(ready: Ready) -> Any:
        if not len(ready.boxes):
            return
        with torch.inference_mode():
            embedding = sam.encode(ready.image.to(device, next(sam.parameters()).dtype))
            for some in ready.boxes.split(KEPT):
                logits, scores = sam.decode(embedding, Prompts(boxes=some.to(device)))
                check_finite(ready.id, logits=logits, scores=scores)
                for one in logits:
                    yield way.masks(one[None].float(), ready.size)[0].cpu().numpy()

    faults = [*faults_of(dataset, cell.key["images"]), *_detection_faults(detections, dataset, cell, classes)]
    facts = {"checkpoint": weights.facts(cell.key["backbone"])}
    summed = partial(summary, ids, int if dataset.facts["image_ids"] == "numbers" else str)
    return Task(dataset, prepare, score, summed, "iou", faults, facts)


def _truths(
    sample: InstanceSample,
) -> tuple[list[tuple[Instance, NDArray[np.bool_]]], list[dict[str, str]]]:
    """The objects of an image with their masks, and a fault for each whose mask cannot be decoded."""
    truths, faults = [], []
    for one in sample.instances():
        try:
            truths.append((one, one.mask()))
        except BadSample as error:
            faults.append({"id": sample.id, "file": sample.file, "reason": str(error)})
    return truths, faults


def _prompts(
    detections: DetectionResults, image: str, size: tuple[int, int], classes: Mapping[str, int]
) -> tuple[list[Detection], Tensor, list[dict[str, str]]]:
    """Return an image's detections that are prompts, their boxes ``m 4`` in px of it, and a fault for each other."""
    chosen, faults = [], []
    for detection in detections.of_image(image):
        if str(detection.category) not in classes:
            continue  # named before the evaluation begins
        if reason := box_fault(corners(detection.box), *size):
            text = f"detection {detection.index}: its box {reason.removeprefix('it ')}"
            faults.append({"id": image, "file": str(detections.file), "reason": text})
        else:
            chosen.append(detection)
    boxes = torch.tensor([corners(detection.box) for detection in chosen], dtype=torch.float32).reshape(-1, 4)
    return chosen, boxes, faults


def _annotation(one: Instance, category: int | str, mask: NDArray[np.bool_]) -> dict[str, Any]:
    """An object as COCO writes it, with its mask as run lengths."""
    flags = {"iscrowd": int(one.crowd), "ignore": int(one.ignored)}
    return {"category_id": category, "area": one.area, **flags, "segmentation": rle.encode(mask)}


def _object(
    category: int,
    truth: NDArray[np.bool_],
    of: Sequence[int],
    masks: Sequence[NDArray[np.bool_]],
    found: Sequence[Mapping[str, Any]],
) -> dict[str, float | None]:
    """A true object beside the detection of its class whose mask fits it best, or beside none.

    Traits that an object without a pixel lacks are None, since a row holds no NaN.
    """
    mine = [place for place, one in enumerate(of) if one == category]
    best = np.zeros_like(truth)
    if mine:
        regions = [found[place]["segmentation"] for place in mine]
        overlaps = runs.iou([rle.encode(truth)], regions, [0] * len(mine))[0]
        best = masks[mine[int(overlaps.argmax())]]
    return {name: None if math.isnan(value) else value for name, value in compared(best, truth).items()}


def _means(objects: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Of the objects of an image; None where it has none."""
    return {name: float(np.mean([one[name] for one in objects])) if objects else None for name in SCORES}


def summary(
    category_ids: Sequence[int | str], image_id: Callable[[str], int | str], rows: Sequence[Row], seed: int
) -> Summary:
    """COCO's twelve numbers of masks and of boundaries, the objects of each image, and slices of all objects.

    category_ids: Of the data set.
    image_id: Makes an image's id, by which images are ordered, of a row's.
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
        for bad in evaluation.bad:  # the data set lets none through
            raise ValueError(f"{bad.kind} of image {bad.image}: {bad.reason}")
        intervals = evaluation.intervals(seed)
        for name, value in evaluation.metrics().items():
            if not np.isnan(value):
                metrics[_named(name, prefix)] = _metric(value, *intervals[name], len(rows))
        of_images = evaluation.by_image()
        places = {image: place for place, image in enumerate(of_images.pop("id"))}
        order = [places[image] for image in ids]
        for name, values in of_images.items():
            if name != "objects" or not prefix:
                columns[prefix + name] = [values[place] for place in order]
    return Summary(metrics, columns, _slices(rows, seed), undefined="" if metrics else _no_object(rows))


def _of_all(ids: Sequence[int | str], rows: Sequence[Row], name: str) -> list[dict[str, Any]]:
    """The annotations or detections of all images in one list, as COCO's files have them."""
    return [{"image_id": image, **one} for image, row in zip(ids, rows, strict=True) for one in row[name]]


def _slices(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    objects = [one for row in rows for one in row["objects"]]
    columns = {
        name: [math.nan if one[name] is None else one[name] for one in objects] for name in (*SCORES, *Traits._fields)
    }
    return slices(columns, seed) if objects else {}


def _no_object(rows: Sequence[Row]) -> str:
    """Why there is no AP."""
    found = [one for row in rows for one in row["annotations"]]
    crowds = sum(one["iscrowd"] for one in found)
    other = f" and {len(found) - crowds} that COCO ignores" if len(found) > crowds else ""
    return f"AP is undefined: no object counts in the {len(rows)} images, which have {crowds} crowds{other}"


def _named(name: str, prefix: str) -> str:
    """``map_s`` and ``ar100`` of masks; ``mbap_s`` and ``bar100`` of boundaries."""
    return name.replace("map", f"m{prefix}ap", 1) if name.startswith("map") else prefix + name


def _metric(value: float, low: float, high: float, images: int) -> dict[str, Any]:
    return {"value": 100 * value, "unit": "%", "low": 100 * low, "high": 100 * high, "n": images}


def _file(choices: Choices, dataset: Dataset[Any]) -> Path:
    """The detector's boxes: the file given, or the one that lies with the set; raises ValueError where none does."""
    if choices.boxes:
        return choices.boxes
    folder = Path(dataset.facts["annotations"]).parent.parent
    tried = [folder / place / name for name in KNOWN for place in ("detections", "annotations", "")]
    for file in tried:
        if file.is_file():
            return file
    raise ValueError(
        f"--boxes is missing: the suite coco takes a detector's boxes, and there is no {KNOWN[0]} in {folder} or "
        "its folder detections. ViTDet-H's (cascade mask R-CNN) are offered by TinySAM and EfficientViT-SAM"
    )


@cache
def _detections(file: Path) -> DetectionResults:
    try:
        return read_results(file)
    except ValueError as error:
        raise BadDataset(str(error)) from error


def _detection_faults(
    detections: DetectionResults, dataset: Dataset[Any], cell: Cell, classes: Mapping[str, int]
) -> list[dict[str, str]]:
    """Entries of the detector's file that cannot be used, of the images that are measured and of unknown ones."""
    known = {dataset[number].id for number in range(len(dataset))}
    mine = {dataset[number].id: number for number in range(cell.key["images"])}
    whole = len(mine) == len(known)
    said = str(detections.file)
    found = [
        {"id": fault.id, "file": fault.file, "reason": fault.reason}
        for fault in detections.faults
        if whole or fault.id in mine
    ]
    for image in sorted(set(detections.images) - known) if whole else ():
        reason = (
            f"{len(detections.of_image(image))} detections of image_id {image}, which {dataset.name} does not have"
        )
        found.append({"id": image, "file": said, "reason": reason})
    for image in mine:
        for one in detections.of_image(image):
            if str(one.category) not in classes:
                reason = f"detection {one.index}: category_id {one.category!r} is none of {dataset.name}'s"
                found.append({"id": image, "file": said, "reason": reason})
    return found
