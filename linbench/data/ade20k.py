"""ADE20K's benchmark of scene parsing (Zhou et al., CVPR 2017): 150 classes, label maps of one channel.

The published labels are 0 (no class) and 1 to 150. Some tools store "reduced" labels, 0 to 149 with 255 for no class:
read as published ones, all are valid and wrong by one class. A stored 255 reveals them; so does a dataset without
class 150.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from linbench.data.contract import IGNORED, BadDataset, BadSample, SemanticSample, dataset
from linbench.data.image import check_size, stored_image, stored_values
from linbench.data.indexed_dataset import IndexedDataset, dataset_dir
from linbench.data.listing import bad, lines_of, names_in, sizes_of
from linbench.system.untrusted import Fault, exists, file_digest

LAYOUT = """\
ADEChallengeData2016/
  images/training/*.jpg    annotations/training/*.png     train: 20,210 images
  images/validation/*.jpg  annotations/validation/*.png   val: 2,000 images
  objectInfo150.txt                                       the names of the classes
"""
HOME = "ADEChallengeData2016"
FOLDERS = {"train": "training", "val": "validation"}
CLASSES = 150
#: Label maps that are searched for class 150. objectInfo150.txt counts it in 421 of 20,210 training and 56 of 2,000
#: validation images, so 500 images drawn at random lack it once in 30,000 times.
INSPECTED = 500


class _Source(NamedTuple):
    """The folders of images and labels, and the names of the images."""

    images: Path
    labels: Path
    names: list[str]


def _needs(base: Path, split: str) -> tuple[Path, ...]:
    return base / "images" / FOLDERS[split], base / "annotations" / FOLDERS[split]


@dataset("ade20k", title="ADE20K", homes=(HOME,), splits=tuple(FOLDERS), needs=_needs, layout=LAYOUT)
def ade20k(root: Path, split: str) -> IndexedDataset[SemanticSample]:
    """Open ADE20K; the stored 0 becomes IGNORED, and 1 to 150 become 0 to 149.

    Raises BadDataset for labels that begin at 0; datasets of fewer than ``INSPECTED`` images are not inspected.
    """
    base = dataset_dir("ade20k", root, split)
    images, labels = _needs(base, split)
    source = _Source(images, labels, names_in(images))
    stems = {Path(name).stem for name in source.names}
    unknown = [labels / name for name in names_in(labels, (".png",)) if Path(name).stem not in stems]
    class_names = _class_names(base / "objectInfo150.txt")
    if not class_names or str(CLASSES) in class_names:
        _refuse_reduced(source)
    return IndexedDataset(
        "ADE20K",
        split,
        classes=tuple(class_names.get(number) or number for number in map(str, range(1, CLASSES + 1))),
        facts={},
        make=partial(_sample, source),
        count=len(source.names),
        content=partial(_content, source, base / "objectInfo150.txt"),
        faults=tuple(Fault(file.stem, str(file), f"labels without an image in {images}") for file in unknown),
    )


def _sample(source: _Source, index: int) -> SemanticSample:
    image = source.images / source.names[index]
    file = source.labels / f"{image.stem}.png"
    return SemanticSample(image.stem, str(image), partial(stored_image, image), partial(_labels, image, file))


def _labels(image: Path, file: Path) -> NDArray[np.uint8]:
    values = stored_values(file)
    if values.ndim != 2:
        raise bad(file, f"labels have one channel, this has {values.shape[2]}: it is no file of the SceneParsing set")
    if values.dtype.kind not in "bui":
        raise bad(file, f"labels are whole numbers, these are {values.dtype}")
    check_size(file, values.shape, image)
    if values.max() > CLASSES:
        hint = "; 255 is stored beside labels that begin at 0: restore the published ones" * bool(values.max() == 255)
        raise bad(file, f"a label {values.max()}; allowed are 0, which counts nowhere, and 1 to {CLASSES}{hint}")
    labels = values.astype(np.uint8)  # in place: a large map takes little more than its file
    is_ignored = labels == 0
    labels -= 1
    labels[is_ignored] = IGNORED
    return labels


def _refuse_reduced(source: _Source) -> None:
    """Raise BadDataset where the labels begin at 0: 0 is as frequent as a class, and class 150 is in no file.

    A dataset of fewer than ``INSPECTED`` images may lack class 150 and is not inspected.
    """
    count = len(source.names)
    if count < INSPECTED:
        return
    zeros = 0
    for step in range(INSPECTED):
        try:
            values = stored_values(source.labels / f"{Path(source.names[step * count // INSPECTED]).stem}.png")
        except BadSample:  # reported when the sample itself is read
            continue
        if (values == CLASSES).any():
            return
        zeros += not values.all()
    if zeros > INSPECTED // 10:
        raise BadDataset(
            f"{source.labels}: {zeros} of {INSPECTED} label maps hold 0 and none holds {CLASSES}: these labels seem "
            f"to be reduced to 0 to {CLASSES - 1}; linbench reads the published ones, 0 for no class and 1 to "
            f"{CLASSES}. If class {CLASSES} is missing on purpose, leave it out of objectInfo150.txt"
        )


def _class_names(file: Path) -> dict[str, str]:
    """Return the first name of each class by its number, from the dataset's own table; empty without the table."""
    if not exists(file):
        return {}
    lines = [line.split("\t") for line in lines_of(file)]
    return {line[0].strip(): line[-1].split(",")[0].strip() for line in lines}


def _content(source: _Source, table: Path) -> Iterator[bytes]:
    if exists(table):
        yield file_digest(table)
    for name in source.names:
        yield from sizes_of(source.images, [source.images / name])
        yield from sizes_of(source.labels, [source.labels / f"{Path(name).stem}.png"])
