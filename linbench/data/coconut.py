"""COCONut-B (Deng et al., CVPR 2024): COCO's images with new panoptic masks; instances are those of things."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.coco.entry import area_fault, box_fault, corners, crowd_fault, identifier, whole
from linbench.coco.index import Index
from linbench.data.coco import indexed_annotations, indexed_image, open_index
from linbench.data.contract import BadSample, Instance, InstanceSample, as_bad_sample, dataset
from linbench.data.image import stored_values
from linbench.data.indexed_dataset import IndexedDataset, dataset_dir
from linbench.data.listing import bad, sizes_of
from linbench.system.untrusted import file_digest, inside

LAYOUT = """\
coconut/
  coconut_b.json           coconut_b/*.png            train: 242,000 images, in train2017/ and unlabeled2017/
  relabeled_coco_val.json  relabeled_coco_val/*.png   val: 5,000 images, in val2017/
  train2017/  unlabeled2017/  val2017/                here, or in coco/ beside
"""
FILES = {"train": "coconut_b", "val": "relabeled_coco_val"}
IMAGE_FOLDERS = {"train": ("train2017", "unlabeled2017"), "val": ("val2017",)}


def _needs(base: Path, split: str) -> tuple[Path, ...]:
    return base / f"{FILES[split]}.json", base / FILES[split]


@dataset("coconut", title="COCONut-B", homes=("coconut",), splits=tuple(FILES), needs=_needs, layout=LAYOUT)
def coconut(root: Path, split: str) -> IndexedDataset[InstanceSample]:
    """Open COCONut-B for training, or COCO's relabelled validation set (relabeled-COCO-val) for validation."""
    base = dataset_dir("coconut", root, split)
    file, masks = _needs(base, split)
    folders = tuple(folder / name for folder in (base, base.parent / "coco") for name in IMAGE_FOLDERS[split])
    index = open_index(file, folders[0], _fault, classes=False)
    things = [number for number, category in index.categories.items() if category.get("isthing", 1)]
    stuff = frozenset(index.categories) - frozenset(things)
    source = _Source(index, folders, masks, {number: label for label, number in enumerate(things)}, stuff)
    return IndexedDataset(
        "COCONut-B" if split == "train" else "relabeled COCO val",
        split,
        classes=tuple(str(index.categories[number].get("name", number)) for number in things),
        facts={"annotations": str(file), "category_ids": things},
        make=source.sample,
        count=len(index),
        content=source.content,
        faults=index.faults,
    )


def _fault(entry: Mapping[str, Any], size: tuple[int, int]) -> str:
    """Say what is wrong with the panoptic annotation of an image; empty where nothing is."""
    segments, name = entry.get("segments_info"), entry.get("file_name")
    if not isinstance(segments, list) or not all(isinstance(segment, dict) for segment in segments):
        return "`segments_info` is no list of objects"
    if not isinstance(name, str):
        return "no `file_name` of its mask"
    ids = [whole(segment.get("id")) for segment in segments]
    if not all(number is not None and 0 < number < 2**24 for number in ids):
        return "a segment whose `id` is no number from 1 to 16,777,215"
    if len(set(ids)) != len(ids):
        return "two segments of one id"
    checks = (box_fault, area_fault, crowd_fault)
    return next((reason for segment in segments for check in checks if (reason := check(segment))), "")


@dataclass(frozen=True)
class _Source:
    """The samples of a panoptic file. classes: index of a class by the file's id."""

    index: Index
    folders: tuple[Path, ...]
    masks: Path
    classes: Mapping[int | str, int]
    stuff: frozenset[int | str]

    def sample(self, number: int) -> InstanceSample:
        return InstanceSample(
            str(self.index.ids[number]),
            str(self.folders[0] / self.index.name(number)),
            partial(indexed_image, self.index, number, self.folders),
            partial(self.instances, number),
            self.index.size(number),
        )

    def instances(self, number: int) -> tuple[Instance, ...]:
        annotations = indexed_annotations(self.index, number)
        source = f"{self.index.file}: image {self.index.ids[number]}"
        if not annotations and number in self.index.left_out:
            raise BadSample(self.index.left_out[number])
        if len(annotations) != 1:
            raise BadSample(f"{source}: it has {len(annotations) or 'no'} panoptic annotations, not one")
        entry = annotations[0]
        with as_bad_sample():
            segments = _Segments(inside(self.masks, entry["file_name"]), self.index.size(number))
        return tuple(
            self._instance(segments, segment, source)
            for segment in entry["segments_info"]
            if identifier(segment.get("category_id")) not in self.stuff
        )

    def _instance(self, segments: "_Segments", segment: Mapping[str, Any], source: str) -> Instance:
        category = identifier(segment.get("category_id"))
        if category is None or category not in self.classes:
            stated = repr(segment.get("category_id"))[:40]
            raise BadSample(f"{source}: category_id {stated} of segment {segment['id']} is none of its `categories`")
        return Instance(
            partial(segments.mask, int(segment["id"])),
            None if segment.get("bbox") is None else corners(segment["bbox"]),
            self.classes[category],
            bool(segment.get("iscrowd")),
            None if segment.get("area") is None else float(segment["area"]),
            str(int(segment["id"])),
        )

    def content(self) -> Iterator[bytes]:
        yield file_digest(self.index.file)
        for number in range(len(self.index)):
            name = self.index.name(number)
            paths = [folder / name for folder in self.folders]
            path = next((path for path in paths if path.is_file()), paths[0])
            yield from sizes_of(path.parent, [path])
            yield from sizes_of(self.masks, [self.masks / f"{Path(name).stem}.png"])


@dataclass(frozen=True)
class _Segments:
    """The map of an image's segments, decoded once for all of its instances, when the first mask is read."""

    file: Path
    size: tuple[int, int]

    @cached_property
    def numbers(self) -> NDArray[np.int32]:
        values = stored_values(self.file)
        if values.ndim != 3 or values.shape[2] < 3:
            raise bad(self.file, "a panoptic mask has three channels, red + 256 green + 65536 blue")
        if values.shape[:2] != self.size:
            (h, w), (height, width) = values.shape[:2], self.size
            raise bad(self.file, f"a mask of {w} x {h} px for an image of {width} x {height} px")
        numbers = values[..., 2].astype(np.int32)  # in place: a large map takes little more than its file
        for channel in (1, 0):
            numbers *= 256
            numbers += values[..., channel]
        return numbers

    def mask(self, number: int) -> NDArray[np.bool_]:
        mask = self.numbers == number
        if not mask.any():
            raise bad(self.file, f"segment {number} has no pixel")
        return mask
