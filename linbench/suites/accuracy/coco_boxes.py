"""The prompts of the suite ``coco``: the boxes of a detector's file, or those of the annotations themselves."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from linbench.coco.detections import Detection, DetectionResults, read_results
from linbench.coco.entry import corners
from linbench.data.contract import BadDataset, Dataset, Instance, InstanceSample
from linbench.data.prompts import box_fault
from linbench.metrics.iou import Mask, crop
from linbench.suites.accuracy.cells import BoxSource
from linbench.suites.accuracy.options import DetectorOptions

#: Names under which ViTDet-H's boxes are passed on, in the order of trial; that of the embedded dataset comes last.
BOX_FILES = ("coco_instances_results_vitdet.json", "coco_vitdet.json", "coco_instances_results_val2017.json")
GROUND_TRUTH = Path("ground-truth")  # as a value of --boxes
Truths = Sequence[tuple[Instance, Mask]]
BoxFault = dict[str, str]


class Boxes(Protocol):
    """The boxes that prompt the images of a dataset."""

    @property
    def source(self) -> BoxSource:
        """Their name and checksum in keys."""
        ...

    def of_image(self, sample: InstanceSample, truths: Truths) -> tuple[list[Detection], str]:
        """Return the boxes of an image, and the file that they are from."""
        ...

    def faults(self, images: int) -> list[BoxFault]:
        """Return a fault for each unusable box of the first ``images`` images."""
        ...


class TrueBoxes:
    """The boxes of the annotations, each with its class and the score 1; crowds are no prompts.

    A box is the annotation's own, or that of the mask where the annotation states none.
    """

    source = BoxSource("ground truth")

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.ids: Sequence[int | str] = dataset.facts["category_ids"]
        self.file = str(dataset.facts["annotations"])

    def of_image(self, sample: InstanceSample, truths: Truths) -> tuple[list[Detection], str]:
        """Return the box of each object of an image that has one."""
        boxes = []
        for index, (instance, mask) in enumerate(truths):
            box = instance.box or _box_of(mask)
            if box and not instance.crowd:
                x0, y0, x1, y1 = box
                boxes.append(Detection((x0, y0, x1 - x0, y1 - y0), 1.0, self.ids[instance.category], index))
        return boxes, self.file

    def faults(self, images: int) -> list[BoxFault]:
        """Return none: the dataset itself names annotations that it leaves out."""
        return []


class DetectorBoxes:
    """The boxes of a detector's file; class and score are the detector's."""

    def __init__(self, file: Path, dataset: Dataset[Any]) -> None:
        self.dataset = dataset
        self.detections = _detections(file)
        self.classes = {str(number) for number in dataset.facts["category_ids"]}
        self.source = BoxSource(file.name, self.detections.checksum)

    def of_image(self, sample: InstanceSample, truths: Truths) -> tuple[list[Detection], str]:
        """Return the boxes of an image whose class the dataset has; the others are named in ``faults``."""
        boxes = [box for box in self.detections.of_image(sample.id) if str(box.category) in self.classes]
        return boxes, str(self.detections.file)

    def faults(self, images: int) -> list[BoxFault]:
        """Return a fault for each unusable entry of the file, of the first ``images`` images.

        Where these are all images, entries of images that the dataset does not have are faults too.
        """
        detections, dataset = self.detections, self.dataset
        known = {dataset[index].id for index in range(len(dataset))}
        measured = {dataset[index].id: index for index in range(images)}
        is_whole = len(measured) == len(known)
        file = str(detections.file)
        faults = [
            {"id": fault.id, "file": fault.file, "reason": fault.reason}
            for fault in detections.faults
            if is_whole or fault.id in measured
        ]
        for image in sorted(set(detections.images) - known) if is_whole else ():
            count = len(detections.of_image(image))
            reason = f"{count} detections of image_id {image}, which {dataset.name} does not have"
            faults.append({"id": image, "file": file, "reason": reason})
        for image in measured:
            for box in detections.of_image(image):
                if str(box.category) not in self.classes:
                    reason = f"detection {box.index}: category_id {box.category!r} is none of {dataset.name}'s"
                    faults.append({"id": image, "file": file, "reason": reason})
        return faults


def open_boxes(options: DetectorOptions, dataset: Dataset[Any]) -> Boxes:
    """Return the boxes of ``--boxes``, or those that lie with the dataset; raises ValueError where none do."""
    if options.boxes == GROUND_TRUTH:
        return TrueBoxes(dataset)
    return DetectorBoxes(options.boxes or _published_file(dataset), dataset)


def prompts_of(
    boxes: Boxes, sample: InstanceSample, truths: Truths, size: tuple[int, int]
) -> tuple[list[Detection], Tensor, list[BoxFault]]:
    """Return an image's boxes that are prompts, their corners ``m 4`` in px of it, and a fault for each other."""
    chosen, faults = [], []
    candidates, file = boxes.of_image(sample, truths)
    for detection in candidates:
        if reason := box_fault(corners(detection.box), *size):
            text = f"detection {detection.index}: its box {reason.removeprefix('it ')}"
            faults.append({"id": sample.id, "file": file, "reason": text})
        else:
            chosen.append(detection)
    tensor = torch.tensor([corners(detection.box) for detection in chosen], dtype=torch.float32).reshape(-1, 4)
    return chosen, tensor, faults


def _box_of(mask: Mask) -> tuple[float, float, float, float] | None:
    """Return the box around a mask, its far corner exclusive as COCO's; None where it has no pixel."""
    patch = crop(mask)
    height, width = patch.mask.shape
    return (patch.left, patch.top, patch.left + width, patch.top + height) if patch.mask.size else None


def _published_file(dataset: Dataset[Any]) -> Path:
    """Return the detector's file that lies with the dataset; raises ValueError where none does."""
    folder = Path(dataset.facts["annotations"]).parent.parent
    tried = [folder / below / name for name in BOX_FILES for below in ("detections", "annotations", "")]
    for file in tried:
        if file.is_file():
            return file
    raise ValueError(
        f"--boxes is missing: the suite coco takes a detector's boxes, and there is no {BOX_FILES[0]} in {folder} or "
        "its folder detections. ViTDet-H's (cascade mask R-CNN) are offered by TinySAM and EfficientViT-SAM; "
        "--boxes ground-truth takes those of the annotations"
    )


@cache
def _detections(file: Path) -> DetectionResults:
    try:
        return read_results(file)
    except ValueError as error:
        raise BadDataset(str(error)) from error
