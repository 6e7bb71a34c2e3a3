"""DIS5K, dichotomous image segmentation (Qin et al., ECCV 2022): one finely cut object in each picture."""

from pathlib import Path

from linbench.data.contract import InstanceSample, dataset
from linbench.data.indexed_dataset import IndexedDataset, dataset_dir
from linbench.data.single_object import single_object

LAYOUT = """\
DIS5K/
  DIS-TR/im/*.jpg  DIS-TR/gt/*.png    train: 3,000 pictures
  DIS-VD/im/*.jpg  DIS-VD/gt/*.png    val: 470 pictures
"""
NAMES = {"train": "DIS-TR", "val": "DIS-VD"}


def _needs(base: Path, split: str) -> tuple[Path, ...]:
    return base / NAMES[split] / "im", base / NAMES[split] / "gt"


@dataset("dis", title="DIS5K", homes=("DIS5K",), splits=tuple(NAMES), needs=_needs, layout=LAYOUT)
def dis(root: Path, split: str) -> IndexedDataset[InstanceSample]:
    """DIS5K: training set DIS-TR and validation set DIS-VD."""
    images, masks = _needs(dataset_dir("dis", root, split), split)
    return single_object(NAMES[split], split, images, masks)
