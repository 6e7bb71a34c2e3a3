"""HRSOD (Zeng et al., ICCV 2019; masks of Liew et al., WACV 2021): salient objects of large pictures, one in each."""

from pathlib import Path

from linbench.data.contract import InstanceSample, dataset
from linbench.data.indexed_dataset import IndexedDataset, dataset_dir
from linbench.data.single_object import single_object

LAYOUT = """\
thin_object_detection/
  HRSOD/images/*.jpg  HRSOD/masks_max255/*.png   val: 287 pictures
"""


def _needs(base: Path, split: str) -> tuple[Path, ...]:
    return base / "HRSOD" / "images", base / "HRSOD" / "masks_max255"


@dataset("hrsod", title="HRSOD", homes=("thin_object_detection",), splits=("val",), needs=_needs, layout=LAYOUT)
def hrsod(root: Path, split: str) -> IndexedDataset[InstanceSample]:
    """HRSOD, for validation only."""
    images, masks = _needs(dataset_dir("hrsod", root, split), split)
    return single_object("HRSOD", split, images, masks)
