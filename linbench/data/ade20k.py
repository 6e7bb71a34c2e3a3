"""ADE20K as the benchmark of scene parsing has it (Zhou et al., 2017): 150 classes, one channel of labels."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linbench.data.contract import IGNORED, Fault, SemanticSample, dataset
from linbench.data.home import home
from linbench.data.listing import bad, content_of, exists, lines_of, names_in, sizes_of
from linbench.data.opened import Opened
from linbench.data.picture import picture, same_size, stored

LAYOUT = """\
ADEChallengeData2016/
  images/training/*.jpg    annotations/training/*.png     train: 20,210 pictures
  images/validation/*.jpg  annotations/validation/*.png   val: 2,000 pictures
  objectInfo150.txt                                       the names of the classes
"""
HOME = "ADEChallengeData2016"
FOLDERS = {"train": "training", "val": "validation"}
CLASSES = 150


def _needs(base: Path, split: str) -> tuple[Path, ...]:
    return base / "images" / FOLDERS[split], base / "annotations" / FOLDERS[split]


@dataset(
    "ade20k", title="ADE20K", homes=("ADEChallengeData2016",), splits=tuple(FOLDERS), needs=_needs, layout=LAYOUT
)
def ade20k(root: Path, split: str) -> Opened[SemanticSample]:
    """ADE20K; the stored 0 becomes IGNORED, and 1 to 150 become 0 to 149."""
    base = home("ade20k", root, split)
    images, labels = _needs(base, split)
    source = (images, labels, names_in(images))
    labelled = {Path(name).stem for name in source[2]}
    unknown = [labels / name for name in names_in(labels, (".png",)) if Path(name).stem not in labelled]
    return Opened(
        "ADE20K",
        split,
        classes=_classes(base / "objectInfo150.txt"),
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
    return SemanticSample(image.stem, str(image), partial(picture, image), partial(_labels, image, file))


def _labels(image: Path, file: Path) -> NDArray[np.uint8]:
    values = stored(file)
    if values.ndim != 2:
        raise bad(file, f"labels have one channel, this has {values.shape[2]}: it is no file of the SceneParsing set")
    same_size(file, values.shape, image)
    if values.max() > CLASSES:
        raise bad(file, f"a label {values.max()}; allowed are 0, which counts nowhere, and 1 to {CLASSES}")
    return np.where(values == 0, IGNORED, values.astype(np.int32) - 1).astype(np.uint8)


def _classes(file: Path) -> tuple[str, ...]:
    """The first name of each class, from the set's own table; their numbers where it is not there."""
    numbers = tuple(str(number) for number in range(1, CLASSES + 1))
    if not exists(file):
        return numbers
    lines = [line.split("\t") for line in lines_of(file)]
    names = {line[0].strip(): line[-1].split(",")[0].strip() for line in lines}
    return tuple(names.get(number) or number for number in numbers)


def _content(source: Source, table: Path) -> Iterator[bytes]:
    images, labels, names = source
    if exists(table):
        yield content_of(table)
    for name in names:
        yield from sizes_of(images, [images / name])
        yield from sizes_of(labels, [labels / f"{Path(name).stem}.png"])
