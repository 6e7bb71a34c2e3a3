"""Random images in memory, in place of a recipe's datasets: what a plan is calibrated on where there are no data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.data.contract import Dataset, Instance, Sample
from linbench.data.indexed_dataset import IndexedDataset

OBJECT = (0.3, 0.7)  # sides of an object, as fractions of the image's


@dataclass(frozen=True, kw_only=True)
class RandomSample(Sample):
    """A noise image with all that the three kinds of sample have: a class, labels and objects."""

    label: int
    labels: Callable[[], NDArray[np.uint8]]
    instances: Callable[[], tuple[Instance, ...]]
    size: tuple[int, int]


@dataclass(frozen=True)
class RandomImages:
    """Datasets of random images; it takes the place of ``--data``, and reads and writes no file.

    side: Of the images, px.
    images: Their number, by the name of a dataset; a source's own for others.
    objects: Objects of an image, likewise; 1 for others.
    """

    side: int
    images: Mapping[str, int] = field(default_factory=dict)
    objects: Mapping[str, int] = field(default_factory=dict)

    def dataset(self, name: str, images: int, split: str) -> Dataset[Any]:
        """Return what stands in for the dataset of that name, with ``images`` where no other number is given."""
        objects = self.objects.get(name, 1)

        def make(index: int) -> RandomSample:
            return _sample(index, self.side, objects)

        count = self.images.get(name, images)
        return IndexedDataset("random images", split, (), {}, make, count, content=tuple)


def _sample(index: int, side: int, objects: int) -> RandomSample:
    rng = np.random.default_rng(index)
    corners = [_corners(rng, side) for _ in range(objects)]

    def mask(y0: int, x0: int, y1: int, x1: int) -> NDArray[np.bool_]:
        pixels = np.zeros((side, side), np.bool_)
        pixels[y0:y1, x0:x1] = True
        return pixels

    def image() -> NDArray[np.uint8]:
        return np.random.default_rng(index).integers(0, 256, (side, side, 3), np.uint8)

    def labels() -> NDArray[np.uint8]:
        return np.indices((side, side), np.uint8).sum(0, dtype=np.uint8) // 16 % 2

    def instances() -> tuple[Instance, ...]:
        return tuple(Instance(mask=lambda c=c: mask(*c)) for c in corners)  # type: ignore[misc]

    name = f"random {index}"
    return RandomSample(
        id=name, file=name, image=image, label=0, labels=labels, instances=instances, size=(side, side)
    )


def _corners(rng: np.random.Generator, side: int) -> tuple[int, int, int, int]:
    """Return the corners y0 x0 y1 x1 of an object inside the image, px."""
    h, w = (max(1, int(rng.uniform(*OBJECT) * side)) for _ in range(2))
    y0, x0 = int(rng.integers(0, side - h + 1)), int(rng.integers(0, side - w + 1))
    return y0, x0, y0 + h, x0 + w
