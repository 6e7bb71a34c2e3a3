"""A dataset as a plug-in: images with two objects each, read from a folder of its own."""

from functools import partial
from pathlib import Path

import numpy as np

from linbench.data.contract import Instance, InstanceSample, dataset
from linbench.data.image import stored_image
from linbench.data.indexed_dataset import IndexedDataset, dataset_dir


def needs(base: Path, split: str) -> tuple[Path]:
    return (base / split,)


def _half(size: tuple[int, int], side: int) -> np.ndarray:
    mask = np.zeros(size, np.bool_)
    half = size[1] // 2
    mask[4:-4, side * half + 2 : (side + 1) * half - 2] = True
    return mask


def _sample(files: list[Path], index: int) -> InstanceSample:
    file = files[index]

    def instances() -> tuple[Instance, ...]:
        size = stored_image(file).shape[:2]
        return tuple(Instance(partial(_half, size, side), id=str(side)) for side in (0, 1))

    return InstanceSample(file.stem, str(file), partial(stored_image, file), instances)


@dataset("halves", title="Halves", homes=("halves",), splits=("val",), needs=needs, layout="halves/val/*.jpg")
def halves(root: Path, split: str) -> IndexedDataset[InstanceSample]:
    """Open the images of a split."""
    files = sorted((dataset_dir("halves", root, split) / split).glob("*.jpg"))
    content = [file.name.encode() for file in files]
    return IndexedDataset("halves", split, (), {}, partial(_sample, files), len(files), lambda: content)
