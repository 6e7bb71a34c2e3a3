"""Instances in COCO's format, a JSON file and a folder with the images that it names: COCO, EntitySeg, a user's own.

COCO (Lin et al., ECCV 2014) has instances of 80 classes. EntitySeg (Qi et al., ICCV 2023) has entities of every kind
in large images, without classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.coco.entry import annotation_fault, annotation_remark, box_fault, corners, identifier, segmentation_mask
from linbench.coco.index import Check, Index, Remark, read_index
from linbench.data.contract import BadDataset, Instance, InstanceSample, as_bad_sample, dataset
from linbench.data.image import stored_image
from linbench.data.indexed_dataset import IndexedDataset, dataset_dir
from linbench.data.listing import sizes_of
from linbench.system.untrusted import exists, file_digest

COCO_LAYOUT = """\
coco/
  train2017/*.jpg  annotations/instances_train2017.json   train: 118,287 images
  val2017/*.jpg    annotations/instances_val2017.json     val: 5,000 images
"""
ENTITYSEG_LAYOUT = """\
entityseg/
  annotations/entityseg_train.json   train: 31,913 images; entityv2_010203_entity_train.json is the same file
  annotations/entityseg_val.json     val: 1,314 images; entityv2_010203_entity_val.json is the same file
  images/entity_01_11580/*.jpg       and so on, by the names in the JSON files
  where only the smaller images are there: entityseg_train_lr.json, entityseg_val_lr.json, images_lr/
"""
#: The file as released, the same as its authors' code calls it, and both for the images made smaller (LR).
ENTITYSEG_FILES = (
    "annotations/entityseg_{}.json",
    "annotations/entity_segmentation/entityv2_010203_entity_{}.json",
    "annotations/entityseg_{}_lr.json",
    "annotations/entity_segmentation/entityv2_010203_entity_{}_lr.json",
)
SPLITS = ("train", "val")


def _coco_needs(base: Path, split: str) -> tuple[Path, Path]:
    return base / "annotations" / f"instances_{split}2017.json", base / f"{split}2017"


@dataset("coco", title="COCO 2017", homes=("coco",), splits=SPLITS, needs=_coco_needs, layout=COCO_LAYOUT)
def coco(root: Path, split: str) -> IndexedDataset[InstanceSample]:
    """Open COCO's instances; classes are in the order of the file, whose own ids are the fact ``category_ids``."""
    annotations, images = _coco_needs(dataset_dir("coco", root, split), split)
    return coco_instances(f"COCO {split}2017", split, annotations, images)


def _entityseg_needs(base: Path, split: str) -> tuple[Path, Path]:
    paths = [base / file.format(split) for file in ENTITYSEG_FILES]
    file = next((path for path in paths if exists(path)), paths[0])
    return file, base / ("images_lr" if file.stem.endswith("_lr") else "images")


@dataset(
    "entityseg",
    title="EntitySeg",
    homes=("entityseg",),
    splits=SPLITS,
    needs=_entityseg_needs,
    layout=ENTITYSEG_LAYOUT,
)
def entityseg(root: Path, split: str) -> IndexedDataset[InstanceSample]:
    """Open EntitySeg, every instance of class 0; the larger images where both sizes are there."""
    file, images = _entityseg_needs(dataset_dir("entityseg", root, split), split)
    name = f"EntitySeg{'-LR' if images.name == 'images_lr' else ''} {split}"
    return coco_instances(name, split, file, images, classes=False)


def coco_instances(
    name: str, split: str, annotations: Path, images: Path, *, classes: bool = True
) -> IndexedDataset[InstanceSample]:
    """Open a dataset in COCO's format; a sample's id is its image's.

    classes: Whether the file's categories are distinguished; False reads every instance as one of class 0.
    Raises BadDataset.
    """
    index = open_index(annotations, images, annotation_fault, classes=classes, remark=annotation_remark)
    category_ids = list(index.categories) if classes else []
    source = _Source(index, images, {number: label for label, number in enumerate(category_ids)})
    return IndexedDataset(
        name,
        split,
        classes=tuple(str(index.categories[number].get("name", number)) for number in category_ids),
        facts={
            "annotations": str(annotations),
            "images": str(images),
            "image_ids": "numbers" if index.has_numbers else "text",
            "category_ids": category_ids,
            "notes": list(index.notes),
        },
        make=source.sample,
        count=len(index),
        content=source.content,
        faults=index.faults,
    )


def open_index(file: Path, folder: Path, check: Check, *, classes: bool, remark: Remark = lambda entry: "") -> Index:
    """Read the index of a COCO file, as ``read_index``; raises BadDataset."""
    try:
        return read_index(file, folder, check, classes=classes, remark=remark)
    except ValueError as error:
        raise BadDataset(str(error)) from error


def indexed_image(index: Index, number: int, folders: Sequence[Path]) -> NDArray[np.uint8]:
    """Read an image ``h w 3`` from the first of the folders that has it; raises BadSample."""
    with as_bad_sample():
        path = index.path(number, folders)
    return stored_image(path, index.size(number))


def indexed_annotations(index: Index, number: int) -> list[dict[str, Any]]:
    """Read the annotations of an image; raises BadSample."""
    with as_bad_sample():
        return index.annotations(number)


@dataclass(frozen=True)
class _Source:
    """The samples of a COCO file. classes: index of a class by the file's id."""

    index: Index
    images: Path
    classes: Mapping[int | str, int]

    def sample(self, number: int) -> InstanceSample:
        return InstanceSample(
            str(self.index.ids[number]),
            str(self.images / self.index.name(number)),
            partial(indexed_image, self.index, number, (self.images,)),
            partial(self.instances, number),
            self.index.size(number),
        )

    def instances(self, number: int) -> tuple[Instance, ...]:
        size = self.index.size(number)
        return tuple(
            coco_instance(
                entry,
                size,
                self._class(entry),
                f"{self.index.file}: annotation {entry.get('id')}, of image {self.index.ids[number]}",
            )
            for entry in indexed_annotations(self.index, number)
        )

    def _class(self, entry: Mapping[str, Any]) -> int:
        number = identifier(entry.get("category_id"))
        return self.classes[number] if self.classes and number is not None else 0

    def content(self) -> Iterator[bytes]:
        yield file_digest(self.index.file)
        for number in range(len(self.index)):
            yield from sizes_of(self.images, [self.images / self.index.name(number)])


def coco_instance(entry: Mapping[str, Any], size: tuple[int, int], category: int, source: str) -> Instance:
    """Return the instance of an annotation that has no fault; a box with a fault counts as not stated.

    category: Its index in the dataset's classes.
    source: How errors call it: its file and its id.
    """
    return Instance(
        mask=partial(_mask, entry["segmentation"], size, source),
        box=None if entry.get("bbox") is None or box_fault(entry) else corners(entry["bbox"]),
        category=category,
        crowd=bool(entry.get("iscrowd")),
        ignored=bool(entry.get("ignore")),
        area=None if entry.get("area") is None else float(entry["area"]),
        id=str(entry.get("id", "")),
    )


def _mask(segmentation: Any, size: tuple[int, int], source: str) -> NDArray[np.bool_]:
    """Decode a mask ``h w``, which is empty for an object below a pixel; raises BadSample."""
    with as_bad_sample(source):
        return segmentation_mask(segmentation, size)
