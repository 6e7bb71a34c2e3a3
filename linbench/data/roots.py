"""Opening a data set by name: from the folder that holds all sets, or the embedded one.

Below that folder each set has a folder of its own, in the layout that its reader's file gives as LAYOUT and that
``linbench data where`` prints. A folder that is one set's own is taken as well.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from linbench.data import (  # noqa: F401 (each registers its set)
    ade20k,
    coco,
    coconut,
    coift,
    dis,
    entityseg,
    hrsod,
    imagenet,
    sa1b,
)
from linbench.data.contract import BadDataset, Dataset, dataset
from linbench.data.indexed_dataset import IndexedDataset, dataset_dir
from linbench.registry import Entry

VARIABLE = "LINBENCH_DATA"
EMBEDDED = "shapes"
#: Sizes of the embedded set where none is asked for: pictures by split, and their side in px.
IMAGES = {"train": 256, "val": 64}
SIZE = 512
Size = int | tuple[int, int]


def resolve_data(data: str | None) -> str:
    """What ``--data`` means where it is not given: the folder of LINBENCH_DATA, or else the embedded set."""
    return data or os.environ.get(VARIABLE) or EMBEDDED


def list_splits(root: str | None) -> list[dict[str, Any]]:
    """Each set and split: whether it is below ``root``, where, or what is missing, and the layout expected.

    Nothing is read. Where ``root`` is None nothing is found. Raises BadDataset where it is no folder.
    """
    folder = None if root is None else _folder(root)
    return [_row(entry, split, folder) for entry in dataset.values() for split in entry.facts["splits"]]


def _row(entry: Entry, split: str, folder: Path | None) -> dict[str, Any]:
    facts = {"name": entry.name, "title": entry.facts["title"], "split": split, "layout": entry.facts["layout"]}
    if folder is None:
        return facts | {"found": False, "said": ""}
    try:
        return facts | {"found": True, "said": str(dataset_dir(entry.name, folder, split))}
    except BadDataset as error:
        missing = str(error).partition("; ")[0].partition(": ")[2]
        return facts | {"found": False, "said": missing}


def open_dataset(
    name: str,
    split: str,
    data: str | None = None,
    *,
    images: int | None = None,
    size: Size | None = None,
) -> Dataset[Any]:
    """A data set by name.

    split: ``train`` or ``val``.
    data: The folder that holds all sets, or ``shapes``, the embedded one; None: LINBENCH_DATA, else ``shapes``.
    images, size: Of the embedded set only: how many pictures, and their side, or height and width, px.
    Raises BadDataset, and UnknownName.
    """
    build = dataset[name].build
    where = resolve_data(data)
    if where == EMBEDDED:
        return _embedded(name, split, images, size)
    return build(_folder(where), split)


def _folder(root: str) -> Path:
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise BadDataset(
            f"{folder}: no such folder; --data or {VARIABLE} names the folder of all sets, or {EMBEDDED}"
        )
    return folder


def _embedded(name: str, split: str, images: int | None, size: Size | None) -> Dataset[Any]:
    from linbench.data.shapes import prepare_dataset

    entry = dataset[name]
    splits = entry.facts["splits"]
    if split not in splits:
        raise BadDataset(f"{EMBEDDED} as {name} has the split {' and '.join(splits)}, not {split!r}")
    root = prepare_dataset(name, split, images=images or IMAGES[split], size=size or SIZE)
    found: IndexedDataset[Any] = entry.build(root, split)
    return replace(found, name=EMBEDDED, facts={**found.facts, "embedded": True})
