"""ImageNet-1k (Russakovsky et al., 2015): a folder for each class, named by its WordNet id."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linbench.data.class_order import (
    IMAGENET_CLASSES,
    MOST_CLASSES,
    is_number,
    list_of_classes,
    listed_classes,
    named_classes,
)
from linbench.data.contract import BadDataset, ClassSample, dataset
from linbench.data.image import stored_image
from linbench.data.indexed_dataset import IndexedDataset, dataset_dir
from linbench.data.listing import IMAGE_SUFFIXES, folders_in, lines_of, names_in, sizes_of
from linbench.system.untrusted import Fault, exists, file_digest

LAYOUT = """\
imagenet/
  train/n01440764/*.JPEG   train: 1,281,167 images in 1,000 folders
  val/n01440764/*.JPEG     val: 50,000 images likewise; or folders 0 to 999, as ImageNet-V2 has them
  val/*.JPEG val.txt       or val in one folder, and a list with `NAME WNID` or `NAME NUMBER` in each line, where
                           numbers are labels, from 0 on
  classes.txt              the names of the classes in the order of labels, where the folders are only some of them or
                           do not show it; or synset_words.txt or LOC_synset_mapping.txt, `WNID DESCRIPTION` a line
"""


def _needs(base: Path, split: str) -> tuple[Path, ...]:
    return (base / split,)


@dataset("imagenet", title="ImageNet-1k", homes=("imagenet",), splits=("train", "val"), needs=_needs, layout=LAYOUT)
def imagenet(root: Path, split: str) -> IndexedDataset[ClassSample]:
    """Open ImageNet. Its classes are from a list if there is one, else the folders of ``train``, else of the split.

    Raises BadDataset where the order of the labels is not certain; see ``class_order``.
    """
    folder = dataset_dir("imagenet", root, split) / split
    base, table = folder.parent, folder.parent / f"{split}.txt"
    subfolders = folders_in(folder)
    if not subfolders and not exists(table):
        raise BadDataset(f"{folder}: no folders of classes in it, and no list {table} beside it")
    source = list_of_classes(base) or next((path for path in (base / "train", folder) if _has_folders(path)), None)
    classes = _classes(source)
    if subfolders and source:
        images, faults = _by_folder(folder, classes, source)
    else:
        images, classes, faults = _by_list(folder, table, classes)
    if subfolders != list(classes):
        images = replace(images, order=classes)
    return IndexedDataset(
        "ImageNet-1k",
        split,
        classes,
        {},
        make=images.sample,
        count=len(images.names),
        content=images.content,
        faults=faults,
    )


def _has_folders(folder: Path) -> bool:
    return exists(folder) and bool(folders_in(folder))


def _classes(source: Path | None) -> tuple[str, ...]:
    """Return the classes in the order of labels, of a list or of a folder of folders."""
    if source is None:
        return ()
    return named_classes(folders_in(source), source) if source.is_dir() else listed_classes(source)


@dataclass(frozen=True)
class _Images:
    """The images of a split by index: names below a folder, and labels, 40 bytes an image.

    table: The list that names the class of each.
    order: The classes in the order of labels, for the checksum, where the folders alone do not show it.
    """

    folder: Path
    names: NDArray[np.bytes_]
    labels: NDArray[np.int32]
    table: Path | None = None
    order: tuple[str, ...] = ()

    def path(self, index: int) -> Path:
        return self.folder / os.fsdecode(bytes(self.names[index]))

    def sample(self, index: int) -> ClassSample:
        path = self.path(index)
        return ClassSample(
            path.relative_to(self.folder).with_suffix("").as_posix(),
            str(path),
            partial(stored_image, path),
            int(self.labels[index]),
        )

    def content(self) -> Iterator[bytes]:
        if self.table:
            yield file_digest(self.table)
        if self.order:
            yield os.fsencode("\n".join(self.order))
        for index in range(len(self.names)):
            yield from sizes_of(self.folder, [self.path(index)])


def _by_folder(folder: Path, classes: tuple[str, ...], source: Path) -> tuple[_Images, tuple[Fault, ...]]:
    """Return the images in the folders of classes.

    source: The file or folder that the classes are from.
    """
    label_of = {name: label for label, name in enumerate(classes)}
    names: list[bytes] = []
    labels: list[int] = []
    faults = []
    subfolders = folders_in(folder)
    if label_of.keys().isdisjoint(subfolders):
        raise BadDataset(
            f"{folder}: none of its {len(subfolders):,} folders, as {subfolders[0][:60]!r}, is one of the "
            f"{len(classes):,} classes of {source}, as {classes[0][:60]!r}"
        )
    for name in subfolders:
        try:
            if name not in label_of:
                raise BadDataset(f"a class that {source} has not")
            files = [os.fsencode(f"{name}/{file}") for file in names_in(folder / name)]
        except BadDataset as error:
            faults.append(Fault(name, str(folder / name), str(error).removeprefix(f"{folder / name}: ")))
            continue
        names += files
        labels += [label_of[name]] * len(files)
    if not names:
        raise BadDataset(f"{folder}: no images ({', '.join(IMAGE_SUFFIXES)}) in its folders of classes")
    return _Images(folder, np.array(names, np.bytes_), np.array(labels, np.int32)), tuple(faults)


def _by_list(
    folder: Path, table: Path, classes: tuple[str, ...]
) -> tuple[_Images, tuple[str, ...], tuple[Fault, ...]]:
    """Return the images of one folder, and the classes and faults of its list.

    classes: Those known without the list, in the order of labels; may be empty.
    """
    class_of, faults = _read_list(table)
    classes = classes or _stated_classes(set(class_of.values()) - {""}, table)
    _refuse_one_based({int(name) for name in class_of.values() if is_number(name)}, len(classes), table)
    label_of = {name: label for label, name in enumerate(classes)}
    names, labels = [], []
    for name in names_in(folder):
        class_name = class_of.get(name, "")
        label = int(class_name) if is_number(class_name) else label_of.get(class_name, -1)
        if 0 <= label < len(classes):
            names.append(os.fsencode(name))
            labels.append(label)
        else:
            reason = f"its class {class_name[:60]} is unknown" if class_name else f"it is not in {table.name}"
            reason = f"it has two classes in {table.name}" if class_of.get(name) == "" else reason
            faults.append(Fault(Path(name).stem, str(folder / name), reason))
    images = _Images(folder, np.array(names, np.bytes_), np.array(labels, np.int32), table)
    return images, classes, tuple(faults)


def _read_list(table: Path) -> tuple[dict[str, str], list[Fault]]:
    """Return the class of each name as a list states it, empty where it states two, and the faults of its lines.

    Raises BadDataset where no line states a class.
    """
    class_of: dict[str, str] = {}
    faults = []
    for number, line in enumerate(lines_of(table), 1):
        words = line.split()
        if len(words) != 2:
            faults.append(Fault("", str(table), f"line {number} is not `NAME CLASS`: {line[:60]!r}"))
        elif class_of.setdefault(words[0], words[1]) != words[1]:
            faults.append(Fault("", str(table), f"line {number} states a second class of {words[0][:60]}"))
            class_of[words[0]] = ""
    if not any(class_of.values()):
        hint = f"; {faults[0].reason}" if faults else ""
        raise BadDataset(f"{table}: it has no line `NAME WNID` or `NAME NUMBER`{hint}")
    return class_of, faults


def _stated_classes(stated: set[str], table: Path) -> tuple[str, ...]:
    """Return the classes of a list alone: all labels up to the largest, or the names in their order."""
    if not all(map(is_number, stated)):
        return named_classes(sorted(stated), table)
    largest = max(map(int, stated))
    _refuse_one_based({int(name) for name in stated}, largest, table)
    return tuple(str(label) for label in range(1 + min(largest, MOST_CLASSES)))


def _refuse_one_based(numbers: set[int], count: int, table: Path) -> None:
    """Raise BadDataset where labels go from 1 to the number of classes, and not from 0."""
    if 0 in numbers or count not in numbers or count < 2:
        return
    if count == IMAGENET_CLASSES or len(numbers) == count:
        raise BadDataset(
            f"{table}: its labels begin at 1 and end at {count}, but they count from 0 in the order of the sorted "
            "WordNet ids (ILSVRC's own 1 to 1000 are in another order): write WordNet ids, or labels from 0 on"
        )
