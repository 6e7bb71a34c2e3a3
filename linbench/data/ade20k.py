"""ADE20K as the benchmark of scene parsing has it (Zhou et al., 2017): 150 classes, one channel of labels.

Some tools store labels "reduced", 0 to 149 with 255 where nothing counts. Read as published ones they are all valid
and all wrong by one class. 255 gives them away, and else that class 150 occurs in no file.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linbench.data.contract import IGNORED, BadDataset, BadSample, Fault, SemanticSample, dataset
from linbench.data.image import check_size, stored_image, stored_values
from linbench.data.indexed_dataset import IndexedDataset, dataset_dir
from linbench.data.listing import bad, content_of, exists, lines_of, names_in, sizes_of

LAYOUT = """\
ADEChallengeData2016/
  images/training/*.jpg    annotations/training/*.png     train: 20,210 pictures
  images/validation/*.jpg  annotations/validation/*.png   val: 2,000 pictures
  objectInfo150.txt                                       the names of the classes
"""
HOME = "ADEChallengeData2016"
FOLDERS = {"train": "training", "val": "validation"}
CLASSES = 150
#: Label maps, spread over a set, of which at least one holds class 150: objectInfo150.txt counts it in 421 of 20,210
#: training and 56 of 2,000 validation images, so 500 drawn at random lack it once in 30,000 times.
LOOKED_AT = 500


def _needs(base: Path, split: str) -> tuple[Path, ...]:
    return base / "images" / FOLDERS[split], base / "annotations" / FOLDERS[split]


@dataset(
    "ade20k", title="ADE20K", homes=("ADEChallengeData2016",), splits=tuple(FOLDERS), needs=_needs, layout=LAYOUT
)
def ade20k(root: Path, split: str) -> IndexedDataset[SemanticSample]:
    """ADE20K; the stored 0 becomes IGNORED, and 1 to 150 become 0 to 149.

    Raises BadDataset for a set of labels that begin at 0; it is told from ``LOOKED_AT`` label maps, or not at all.
    """
    base = dataset_dir("ade20k", root, split)
    images, labels = _needs(base, split)
    source = (images, labels, names_in(images))
    labelled = {Path(name).stem for name in source[2]}
    unknown = [labels / name for name in names_in(labels, (".png",)) if Path(name).stem not in labelled]
    named = _names(base / "objectInfo150.txt")
    if not named or str(CLASSES) in named:
        _refuse_reduced(source)
    return IndexedDataset(
        "ADE20K",
        split,
        classes=tuple(named.get(number) or number for number in map(str, range(1, CLASSES + 1))),
        facts={},
        make=partial(_sample, source),
        count=len(source[2]),
        content=partial(_content, source, base / "objectInfo150.txt"),
        faults=tuple(Fault(file.stem, str(file), f"labels without a picture in {images}") for file in unknown),
    )


Source = tuple[Path, Path, list[str]]  # folders of pictures and labels, names of the pictures


def _sample(source: Source, number: int) -> SemanticSample:
    images, labels, names = source
    image = images / names[number]
    file = labels / f"{image.stem}.png"
    return SemanticSample(image.stem, str(image), partial(stored_image, image), partial(_labels, image, file))


def _labels(image: Path, file: Path) -> NDArray[np.uint8]:
    values = stored_values(file)
    if values.ndim != 2:
        raise bad(file, f"labels have one channel, this has {values.shape[2]}: it is no file of the SceneParsing set")
    if values.dtype.kind not in "bui":
        raise bad(file, f"labels are whole numbers, these are {values.dtype}")
    check_size(file, values.shape, image)
    if values.max() > CLASSES:
        why = "; 255 is stored beside labels that begin at 0: restore the published ones" * bool(values.max() == 255)
        raise bad(file, f"a label {values.max()}; allowed are 0, which counts nowhere, and 1 to {CLASSES}{why}")
    return np.where(values == 0, IGNORED, values.astype(np.int32) - 1).astype(np.uint8)


def _refuse_reduced(source: Source) -> None:
    """Raise BadDataset where 0 occurs as a class does and class 150 in no file: the labels begin at 0.

    A smaller set than ``LOOKED_AT`` images may lack class 150. Of a larger one files are read until one has it.
    """
    _, labels, names = source
    if len(names) < LOOKED_AT:
        return
    zeros = 0
    for place in range(LOOKED_AT):
        try:
            values = stored_values(labels / f"{Path(names[place * len(names) // LOOKED_AT]).stem}.png")
        except BadSample:  # it is named where the sample is read
            continue
        if (values == CLASSES).any():
            return
        zeros += not values.all()
    if zeros > LOOKED_AT // 10:
        raise BadDataset(
            f"{labels}: {zeros} of {LOOKED_AT} label maps hold 0 and none holds {CLASSES}: these labels seem to be "
            f"reduced to 0 to {CLASSES - 1}; linbench reads the published ones, 0 for no class and 1 to {CLASSES}. "
            f"If class {CLASSES} is missing on purpose, leave it out of objectInfo150.txt"
        )


def _names(file: Path) -> dict[str, str]:
    """The first name of each class by its number, from the set's own table; none where that is not there."""
    if not exists(file):
        return {}
    lines = [line.split("\t") for line in lines_of(file)]
    return {line[0].strip(): line[-1].split(",")[0].strip() for line in lines}


def _content(source: Source, table: Path) -> Iterator[bytes]:
    images, labels, names = source
    if exists(table):
        yield content_of(table)
    for name in names:
        yield from sizes_of(images, [images / name])
        yield from sizes_of(labels, [labels / f"{Path(name).stem}.png"])
