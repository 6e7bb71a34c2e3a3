"""EntitySeg (Qi et al., ICCV 2023): entities of every kind in large pictures, in COCO's format, without classes."""

from pathlib import Path

from linbench.data.coco_instances import coco_instances
from linbench.data.contract import InstanceSample, dataset
from linbench.data.indexed_dataset import IndexedDataset, dataset_dir

LAYOUT = """\
entityseg/
  annotations/entityseg_train.json   train: 31,913 pictures; entityv2_010203_entity_train.json is the same file
  annotations/entityseg_val.json     val: 1,314 pictures; entityv2_010203_entity_val.json is the same file
  images/entity_01_11580/*.jpg       and so on, by the names in the JSON files
  where only the smaller pictures are there: entityseg_train_lr.json, entityseg_val_lr.json, images_lr/
"""
#: The file as released, the same as its authors' code calls it, and both for the pictures made smaller (LR).
FILES = (
    "annotations/entityseg_{}.json",
    "annotations/entity_segmentation/entityv2_010203_entity_{}.json",
    "annotations/entityseg_{}_lr.json",
    "annotations/entity_segmentation/entityv2_010203_entity_{}_lr.json",
)


def _needs(base: Path, split: str) -> tuple[Path, ...]:
    found = [base / file.format(split) for file in FILES]
    file = next((path for path in found if path.exists()), found[0])
    return file, base / ("images_lr" if file.stem.endswith("_lr") else "images")


@dataset("entityseg", title="EntitySeg", homes=("entityseg",), splits=("train", "val"), needs=_needs, layout=LAYOUT)
def entityseg(root: Path, split: str) -> IndexedDataset[InstanceSample]:
    """EntitySeg, every instance of class 0; the larger pictures where both are there."""
    file, images = _needs(dataset_dir("entityseg", root, split), split)
    name = f"EntitySeg{'-LR' if images.name == 'images_lr' else ''} {split}"
    return coco_instances(name, split, file, images, classes=False)
