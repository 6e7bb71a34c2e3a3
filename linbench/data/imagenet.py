"""ImageNet-1k (Russakovsky et al., 2015): a folder for each class, named by its WordNet id."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linbench.data.contract import BadDataset, ClassSample, Fault, dataset
from linbench.data.home import home
from linbench.data.listing import content_of, names_in, one_line, sizes_of
from linbench.data.opened import Opened
from linbench.data.picture import picture

LAYOUT = """\
imagenet/
  train/n01440764/*.JPEG   train: 1,281,167 pictures in 1,000 folders
  val/n01440764/*.JPEG     val: 50,000 pictures likewise
  val/*.JPEG val.txt       or val in one folder, and a list with `NAME WNID` or `NAME NUMBER` in each line, where
                           numbers are from 0 on, in the order of the sorted WordNet ids
"""


def _needs(base: Path, split: str) -> tuple[Path, ...]:
    return (base / split,)


@dataset("imagenet", title="ImageNet-1k", homes=("imagenet",), splits=("train", "val"), needs=_needs, layout=LAYOUT)
def imagenet(root: Path, split: str) -> Opened[ClassSample]:
    """ImageNet; classes are the sorted folders of ``train``, or of the split itself where there is no ``train``."""
    folder = home("imagenet", root, split) / split
    table = folder.parent / f"{split}.txt"
    faults: tuple[Fault, ...] = ()
    classes = _folders(folder.parent / "train") if (folder.parent / "train").is_dir() else _folders(folder)
    if _folders(folder):
        pictures, faults = _by_folder(folder, classes)
    elif table.is_file():
        pictures, classes, faults = _by_list(folder, table, classes)
    else:
        raise BadDataset(f"{folder}: no folders of classes in it, and no list {table} beside it")
    return Opened(
        "ImageNet-1k",
        split,
        tuple(classes),
        {},
        make=pictures.sample,
        count=len(pictures.names),
        content=pictures.content,
        faults=faults,
    )


@dataclass(frozen=True)
class _Pictures:
    """Names below a folder, and labels: 40 bytes a picture."""

    folder: Path
    names: NDArray[np.bytes_]
    labels: NDArray[np.int32]
    table: Path | None = None

    def path(self, number: int) -> Path:
        return self.folder / os.fsdecode(bytes(self.names[number]))

    def sample(self, number: int) -> ClassSample:
        path = self.path(number)
        return ClassSample(
            path.relative_to(self.folder).with_suffix("").as_posix(),
            str(path),
            partial(picture, path),
            int(self.labels[number]),
        )

    def content(self) -> Iterator[bytes]:
        if self.table:
            yield content_of(self.table)
        for number in range(len(self.names)):
            yield from sizes_of(self.folder, [self.path(number)])


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise BadDataset(f"{folder}: the folder cannot be read: {one_line(error)}") from error


def _by_folder(folder: Path, classes: list[str]) -> tuple[_Pictures, tuple[Fault, ...]]:
    number = {name: place for place, name in enumerate(classes)}
    names: list[bytes] = []
    labels: list[int] = []
    faults = []
    for wnid in _folders(folder):
        if wnid not in number:
            faults.append(Fault(wnid, str(folder / wnid), f"a class that {folder.parent / 'train'} has not"))
            continue
        found = [os.fsencode(f"{wnid}/{name}") for name in names_in(folder / wnid)]
        names += found
        labels += [number[wnid]] * len(found)
    return _Pictures(folder, np.array(names, np.bytes_), np.array(labels, np.int32)), tuple(faults)


def _by_list(folder: Path, table: Path, classes: list[str]) -> tuple[_Pictures, list[str], tuple[Fault, ...]]:
    """The pictures of one folder, and the classes and faults of its list."""
    said: dict[str, str] = {}
    faults = []
    for place, line in enumerate(table.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.split()
        if len(words) != 2:
            faults.append(Fault("", str(table), f"line {place} is not `NAME CLASS`: {line[:60]!r}"))
        else:
            said[words[0]] = words[1]
    labels = set(said.values())
    if not classes:
        named = not all(label.isdecimal() for label in labels)
        classes = sorted(labels) if named else [str(n) for n in range(1 + max(map(int, labels), default=-1))]
    number = {name: place for place, name in enumerate(classes)} | {str(n): n for n in range(len(classes))}
    names, found = [], []
    for name in names_in(folder):
        if said.get(name) in number:
            names.append(os.fsencode(name))
            found.append(number[said[name]])
        else:
            reason = f"its class {said[name]} is unknown" if name in said else f"it is not in {table.name}"
            faults.append(Fault(Path(name).stem, str(folder / name), reason))
    pictures = _Pictures(folder, np.array(names, np.bytes_), np.array(found, np.int32), table)
    return pictures, classes, tuple(faults)
