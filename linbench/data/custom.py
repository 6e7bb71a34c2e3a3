"""A user's data without registration: a folder of images with a folder of masks, or with a file in COCO's format."""

from dataclasses import dataclass
from pathlib import Path

from linbench.data.coco import coco_instances
from linbench.data.contract import BadDataset, InstanceSample
from linbench.data.indexed_dataset import IndexedDataset
from linbench.data.mask_folders import SPLIT, mask_folders
from linbench.system.untrusted import UNPRINTABLE, is_file, is_folder

LONGEST_NAME = 60  # characters
EMBEDDED = "shapes"


@dataclass(frozen=True)
class MaskData:
    """Images and masks in two folders.

    name: In titles; None for the name of the folder of images.
    """

    images: Path
    masks: Path
    name: str | None = None

    def open(self) -> IndexedDataset[InstanceSample]:
        """Open the dataset; raises BadDataset."""
        return mask_folders(checked_name(self.name, self.images), self.images, self.masks)


@dataclass(frozen=True)
class CocoData:
    """A folder of images, and their annotations in COCO's format.

    name: In titles; None for the name of the folder of images.
    """

    images: Path
    annotations: Path
    name: str | None = None

    def open(self) -> IndexedDataset[InstanceSample]:
        """Open the dataset; raises BadDataset."""
        name = checked_name(self.name, self.images)
        if not is_folder(self.images):
            raise BadDataset(f"--images {self.images}: no such folder")
        if not is_file(self.annotations):
            raise BadDataset(f"--annotations {self.annotations}: no such file")
        return coco_instances(name, SPLIT, self.annotations, self.images)


def checked_name(name: str | None, images: Path) -> str:
    """Return the name of a dataset, by default that of its folder; raises BadDataset where no title can show it."""
    chosen = images.expanduser().resolve().name if name is None else name.strip()
    fault = ""
    if not chosen or UNPRINTABLE.search(chosen):
        fault = "a name is printable text"
    elif len(chosen) > LONGEST_NAME:
        fault = f"a name has at most {LONGEST_NAME} characters"
    elif chosen == EMBEDDED:
        fault = "this is the name of the embedded dataset"
    if fault:
        raise BadDataset(f"--name {chosen[:LONGEST_NAME]}: {fault}; choose another with --name")
    return chosen
