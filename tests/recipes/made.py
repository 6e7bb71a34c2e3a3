"""Small data sets in memory, some of whose samples are bad, for tests of what a recipe feeds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.data.contract import IGNORED, BadSample, ClassSample, Instance, InstanceSample, SemanticSample

SIZE = (60, 90)


def picture(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def discs(number: int, count: int = 3) -> list[NDArray[np.bool_]]:
    rng = np.random.default_rng(number)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    places = zip(rng.integers(10, 50, count), rng.integers(10, 80, count), rng.integers(5, 15, count), strict=True)
    return [(y - cy) ** 2 + (x - cx) ** 2 <= r**2 for cy, cx, r in places]


def unreadable() -> NDArray[np.uint8]:
    raise BadSample("3.jpg: cannot be read as a picture")


@dataclass
class Made:
    """A data set of one kind: ``class``, ``semantic`` or ``instance``.

    bad: Numbers of samples whose picture cannot be read.
    empty: Numbers of samples without an instance.
    """

    kind: str
    count: int = 12
    bad: tuple[int, ...] = ()
    empty: tuple[int, ...] = ()
    name: str = "made"
    split: str = "train"
    classes: tuple[str, ...] = ("one", "two", "three")
    checksum: str = "c" * 64
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Any:
        head = (str(number), f"{number}.jpg", unreadable if number in self.bad else lambda: picture(number))
        if self.kind == "class":
            return ClassSample(*head, number % 3)
        if self.kind == "semantic":
            return SemanticSample(*head, lambda: self._labels(number))
        masks = [] if number in self.empty else discs(number)
        return InstanceSample(*head, lambda: tuple(Instance(lambda m=mask: m) for mask in masks))

    def _labels(self, number: int) -> NDArray[np.uint8]:
        labels = np.full(SIZE, IGNORED, np.uint8)
        for label, mask in enumerate(discs(number)):
            labels[mask] = label
        return labels
