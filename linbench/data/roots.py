"""Open a dataset by name: from the folder that holds all datasets, or the embedded one.

Below that folder each dataset has its own folder, in the layout that its reader states and that ``linbench data
where`` prints. A folder that is one dataset's own is accepted as well.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from linbench.data import ade20k, coco, coconut, imagenet, sa1b, single_object  # noqa: F401 (they register datasets)
from linbench.data.contract import BadDataset, Dataset, dataset
from linbench.data.indexed_dataset import IndexedDataset, dataset_dir
from linbench.registry import Entry

VARIABLE = "LINBENCH_DATA"
EMBEDDED = "shapes"
#: Defaults of the embedded dataset: images by split, and their side in px.
IMAGES = {"train": 256, "val": 64}
SIZE = 512
Size = int | tuple[int, int]


def resolve_data(data: str | None) -> str:
    """Return ``--data`` or its default: the folder of LINBENCH_DATA, or else the embedded dataset."""
    return data or os.environ.get(VARIABLE) or EMBEDDED


@dataclass(frozen=True)
class SplitStatus:
    """A split of a dataset, and whether it is below the folder of all datasets.

    folder: Of the dataset; None where the split is missing.
    missing: Which file or folder is missing; empty where the split is there, or no folder was searched.
    """

    name: str
    title: str
    split: str
    layout: str
    folder: Path | None
    missing: str

    def to_json(self) -> dict[str, Any]:
        """Return the values of JSON."""
        return {**vars(self), "folder": None if self.folder is None else str(self.folder)}


def list_splits(root: str | None) -> list[SplitStatus]:
    """Return the status of each dataset's splits below ``root``; all are missing where that is None.

    Reads no dataset. Raises BadDataset where ``root`` is no folder.
    """
    folder = None if root is None else _folder(root)
    entries = [dataset[name] for name in sorted(dataset) if "layout" in dataset[name].facts]
    return [_status(entry, split, folder) for entry in entries for split in entry.facts["splits"]]


def _status(entry: Entry, split: str, root: Path | None) -> SplitStatus:
    folder, missing = None, ""
    if root is not None:
        try:
            folder = dataset_dir(entry.name, root, split)
        except BadDataset as error:
            missing = str(error).partition("; ")[0].partition(": ")[2]
    return SplitStatus(entry.name, entry.facts["title"], split, entry.facts["layout"], folder, missing)


def open_dataset(
    name: str,
    split: str,
    data: str | None = None,
    *,
    images: int | None = None,
    size: Size | None = None,
) -> Dataset[Any]:
    """Open a dataset by name.

    split: ``train`` or ``val``.
    data: The folder that holds all datasets, or ``shapes``, the embedded one; None: LINBENCH_DATA, else ``shapes``.
    images, size: For the embedded dataset only: number of images, and their side, or height and width, px.
    Raises BadDataset, and UnknownName.
    """
    build = dataset[name].build
    root = resolve_data(data)
    if root == EMBEDDED:
        return _embedded(name, split, images, size)
    return build(_folder(root), split)


def _folder(root: str) -> Path:
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise BadDataset(
            f"{folder}: no such folder; --data or {VARIABLE} names the folder of all datasets, or {EMBEDDED}"
        )
    return folder


def _embedded(name: str, split: str, images: int | None, size: Size | None) -> Dataset[Any]:
    from linbench.data.shapes import LAYOUTS, prepare_dataset

    entry = dataset[name]
    splits = entry.facts.get("splits", (split,))
    if split not in splits:
        raise BadDataset(f"{EMBEDDED} as {name} has the split {' and '.join(splits)}, not {split!r}")
    if name not in LAYOUTS:
        raise BadDataset(f"--data is missing: {name} is read from a folder, and {EMBEDDED} does not stand in for it")
    root = prepare_dataset(name, split, images=images or IMAGES[split], size=size or SIZE)
    embedded: IndexedDataset[Any] = entry.build(root, split)
    return replace(embedded, name=EMBEDDED, facts={**embedded.facts, "embedded": True})
