"""COCO (Lin et al., 2014), instances of 80 classes: train2017 and val2017."""

from pathlib import Path

from linbench.data.coco_instances import coco_instances
from linbench.data.contract import InstanceSample, dataset
from linbench.data.indexed_dataset import IndexedDataset, dataset_dir

LAYOUT = """\
coco/
  train2017/*.jpg  annotations/instances_train2017.json   train: 118,287 pictures
  val2017/*.jpg    annotations/instances_val2017.json     val: 5,000 pictures
"""


def _needs(base: Path, split: str) -> tuple[Path, ...]:
    return base / "annotations" / f"instances_{split}2017.json", base / f"{split}2017"


@dataset("coco", title="COCO 2017", homes=("coco",), splits=("train", "val"), needs=_needs, layout=LAYOUT)
def coco(root: Path, split: str) -> IndexedDataset[InstanceSample]:
    """COCO's instances; classes are in the order of the file, whose own ids are the fact ``category_ids``."""
    annotations, images = _needs(dataset_dir("coco", root, split), split)
    return coco_instances(f"COCO {split}2017", split, annotations, images)
