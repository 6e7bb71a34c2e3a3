"""Sets in COCO's format for instances: one JSON file, and a folder with the pictures that it names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from linbench.data import coco_entry
from linbench.data.coco_index import Index, read_index
from linbench.data.contract import Instance, InstanceSample
from linbench.data.indexed_dataset import IndexedDataset
from linbench.data.listing import content_of, sizes_of


def coco_instances(
    name: str, split: str, annotations: Path, images: Path, *, classes: bool = True
) -> IndexedDataset[InstanceSample]:
    """The set of a COCO file; a sample's id is its picture's.

    classes: Whether the file's categories are told apart; False takes every instance as one of class 0.
    """
    index = read_index(annotations, images, coco_entry.fault, classes=classes, remark=coco_entry.remark)
    numbers = list(index.categories) if classes else []
    return IndexedDataset(
        name,
        split,
        classes=tuple(str(index.categories[number].get("name", number)) for number in numbers),
        facts={
            "annotations": str(annotations),
            "images": str(images),
            "image_ids": "numbers" if index.numbered else "text",
            "category_ids": numbers,
            "notes": list(index.notes),
        },
        make=(source := _Source(index, images, {number: place for place, number in enumerate(numbers)})).sample,
        count=len(index),
        content=source.content,
        faults=index.faults,
    )


@dataclass(frozen=True)
class _Source:
    index: Index
    images: Path
    classes: Mapping[int | str, int]  # index of a class by the file's id

    def sample(self, number: int) -> InstanceSample:
        return InstanceSample(
            str(self.index.ids[number]),
            str(self.images / self.index.name(number)),
            partial(self.index.image, number, (self.images,)),
            partial(self.instances, number),
            self.index.size(number),
        )

    def instances(self, number: int) -> tuple[Instance, ...]:
        size = self.index.size(number)
        return tuple(
            coco_entry.instance(
                entry,
                size,
                self._class(entry),
                f"{self.index.file}: annotation {entry.get('id')}, of picture {self.index.ids[number]}",
            )
            for entry in self.index.annotations(number)
        )

    def _class(self, entry: Mapping[str, Any]) -> int:
        number = coco_entry.identifier(entry.get("category_id"))
        return self.classes[number] if self.classes and number is not None else 0

    def content(self) -> Iterator[bytes]:
        yield content_of(self.index.file)
        for number in range(len(self.index)):
            yield from sizes_of(self.images, [self.images / self.index.name(number)])
