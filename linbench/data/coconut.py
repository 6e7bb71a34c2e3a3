"""COCONut-B (Deng et al., CVPR 2024): COCO's pictures with new panoptic masks; instances are those of things."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.data import coco_entry
from linbench.data.coco_index import Index, read_index
from linbench.data.contract import BadSample, Instance, InstanceSample, dataset
from linbench.data.image import stored_values
from linbench.data.indexed_dataset import IndexedDataset, dataset_dir
from linbench.data.listing import bad, content_of, inside, sizes_of

LAYOUT = """\
coconut/
  coconut_b.json           coconut_b/*.png            train: 242,000 pictures, in train2017/ and unlabeled2017/
  relabeled_coco_val.json  relabeled_coco_val/*.png   val: 5,000 pictures, in val2017/
  train2017/  unlabeled2017/  val2017/                here, or in coco/ beside
"""
FILES = {"train": "coconut_b", "val": "relabeled_coco_val"}
PICTURES = {"train": ("train2017", "unlabeled2017"), "val": ("val2017",)}


def _needs(base: Path, split: str) -> tuple[Path, ...]:
    return base / f"{FILES[split]}.json", base / FILES[split]


@dataset("coconut", title="COCONut-B", homes=("coconut",), splits=tuple(FILES), needs=_needs, layout=LAYOUT)
def coconut(root: Path, split: str) -> IndexedDataset[InstanceSample]:
    """COCONut-B for training, COCO's validation set made anew (relabeled-COCO-val) for validation."""
    base = dataset_dir("coconut", root, split)
    file, masks = _needs(base, split)
    folders = tuple(where / name for where in (base, base.parent / "coco") for name in PICTURES[split])
    index = read_index(file, folders[0], _fault, classes=False)
    numbers = [number for number, one in index.categories.items() if one.get("isthing", 1)]
    stuff = frozenset(index.categories) - frozenset(numbers)
    source = _Source(index, folders, masks, {number: n for n, number in enumerate(numbers)}, stuff)
    return IndexedDataset(
        "COCONut-B" if split == "train" else "relabeled COCO val",
        split,
        classes=tuple(str(index.categories[number].get("name", number)) for number in numbers),
        facts={"annotations": str(file), "category_ids": numbers},
        make=source.sample,
        count=len(index),
        content=source.content,
        faults=index.faults,
    )


def _fault(entry: Mapping[str, Any], size: tuple[int, int]) -> str:
    """What is wrong with the panoptic annotation of a picture."""
    segments, name = entry.get("segments_info"), entry.get("file_name")
    if not isinstance(segments, list) or not all(isinstance(one, dict) for one in segments):
        return "`segments_info` is no list of objects"
    if not isinstance(name, str):
        return "no `file_name` of its mask"
    ids = [coco_entry.whole(one.get("id")) for one in segments]
    if not all(number is not None and 0 < number < 2**24 for number in ids):
        return "a segment whose `id` is no number from 1 to 16,777,215"
    if len(set(ids)) != len(ids):
        return "two segments of one id"
    checks = (coco_entry.box_fault, coco_entry.area_fault, coco_entry.crowd_fault)
    return next((reason for one in segments for check in checks if (reason := check(one))), "")


@dataclass(frozen=True)
class _Source:
    index: Index
    folders: tuple[Path, ...]
    masks: Path
    classes: Mapping[int | str, int]  # index of a class by the file's id
    stuff: frozenset[int | str]

    def sample(self, number: int) -> InstanceSample:
        return InstanceSample(
            str(self.index.ids[number]),
            str(self.folders[0] / self.index.name(number)),
            partial(self.index.image, number, self.folders),
            partial(self.instances, number),
            self.index.size(number),
        )

    def instances(self, number: int) -> tuple[Instance, ...]:
        found = self.index.annotations(number)
        said = f"{self.index.file}: picture {self.index.ids[number]}"
        if not found and number in self.index.left_out:
            raise BadSample(self.index.left_out[number])
        if len(found) != 1:
            raise BadSample(f"{said}: it has {len(found) or 'no'} panoptic annotations, not one")
        entry = found[0]
        try:
            segments = _Segments(inside(self.masks, entry["file_name"]), self.index.size(number))
        except ValueError as error:
            raise BadSample(str(error)) from error
        return tuple(
            self._instance(segments, one, said)
            for one in entry["segments_info"]
            if coco_entry.identifier(one.get("category_id")) not in self.stuff
        )

    def _instance(self, segments: "_Segments", segment: Mapping[str, Any], said: str) -> Instance:
        category = coco_entry.identifier(segment.get("category_id"))
        if category is None or category not in self.classes:
            stated = repr(segment.get("category_id"))[:40]
            raise BadSample(f"{said}: category_id {stated} of segment {segment['id']} is none of its `categories`")
        return Instance(
            partial(segments.mask, int(segment["id"])),
            coco_entry.corners(segment.get("bbox")),
            self.classes[category],
            bool(segment.get("iscrowd")),
            None if segment.get("area") is None else float(segment["area"]),
            str(int(segment["id"])),
        )

    def content(self) -> Iterator[bytes]:
        yield content_of(self.index.file)
        for number in range(len(self.index)):
            name = self.index.name(number)
            paths = [folder / name for folder in self.folders]
            path = next((path for path in paths if path.is_file()), paths[0])
            yield from sizes_of(path.parent, [path])
            yield from sizes_of(self.masks, [self.masks / Path(name).with_suffix(".png").name])


@dataclass(frozen=True)
class _Segments:
    """The map of a picture's segments, decoded once for all of its instances, when the first is asked for."""

    file: Path
    size: tuple[int, int]

    @cached_property
    def numbers(self) -> NDArray[np.int32]:
        values = stored_values(self.file)
        if values.ndim != 3 or values.shape[2] < 3:
            raise bad(self.file, "a panoptic mask has three channels, red + 256 green + 65536 blue")
        if values.shape[:2] != self.size:
            (h, w), (height, width) = values.shape[:2], self.size
            raise bad(self.file, f"a mask of {w} x {h} px for a picture of {width} x {height} px")
        wide = values.astype(np.int32)
        return wide[..., 0] + 256 * wide[..., 1] + 65536 * wide[..., 2]

    def mask(self, number: int) -> NDArray[np.bool_]:
        found = self.numbers == number
        if not found.any():
            raise bad(self.file, f"segment {number} has no pixel")
        return found
