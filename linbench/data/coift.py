"""COIFT (Mansilla and Miranda, 2019; masks of Liew et al., WACV 2021): pictures of thin objects, one in each."""

from pathlib import Path

from linbench.data.contract import InstanceSample, dataset
from linbench.data.indexed_dataset import IndexedDataset, dataset_dir
from linbench.data.single_object import single_object

LAYOUT = """\
thin_object_detection/
  COIFT/images/*.jpg  COIFT/masks/*.png   val: 280 pictures
"""


def _needs(base: Path, split: str) -> tuple[Path, ...]:
    return base / "COIFT" / "images", base / "COIFT" / "masks"


@dataset("coift", title="COIFT", homes=("thin_object_detection",), splits=("val",), needs=_needs, layout=LAYOUT)
def coift(root: Path, split: str) -> IndexedDataset[InstanceSample]:
    """COIFT, for validation only."""
    images, masks = _needs(dataset_dir("coift", root, split), split)
    return single_object("COIFT", split, images, masks)
