"""Images with one object each, in two folders: images, and masks of the same names: DIS5K, COIFT and HRSOD.

DIS5K: Qin et al., ECCV 2022, finely cut objects. COIFT: Mansilla and Miranda, 2019, thin objects. HRSOD: Zeng et al.,
ICCV 2019, salient objects of large images. The masks of COIFT and HRSOD are those of Liew et al., WACV 2021.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.data.contract import Instance, InstanceSample, dataset
from linbench.data.ground_truth import THRESHOLD, read_grey
from linbench.data.image import check_size, stored_image
from linbench.data.indexed_dataset import IndexedDataset, dataset_dir
from linbench.data.listing import bad, names_in, sizes_of
from linbench.system.untrusted import Fault, exists

DIS_LAYOUT = """\
DIS5K/
  DIS-TR/im/*.jpg  DIS-TR/gt/*.png    train: 3,000 images
  DIS-VD/im/*.jpg  DIS-VD/gt/*.png    val: 470 images
"""
COIFT_LAYOUT = """\
thin_object_detection/
  COIFT/images/*.jpg  COIFT/masks/*.png   val: 280 images
"""
HRSOD_LAYOUT = """\
thin_object_detection/
  HRSOD/images/*.jpg  HRSOD/masks_max255/*.png   val: 287 images
"""
DIS_NAMES = {"train": "DIS-TR", "val": "DIS-VD"}
THIN_HOME = ("thin_object_detection",)
MASK_SUFFIXES = (".png", ".bmp", ".gif")


def _dis_needs(base: Path, split: str) -> tuple[Path, Path]:
    return base / DIS_NAMES[split] / "im", base / DIS_NAMES[split] / "gt"


@dataset("dis", title="DIS5K", homes=("DIS5K",), splits=tuple(DIS_NAMES), needs=_dis_needs, layout=DIS_LAYOUT)
def dis(root: Path, split: str) -> IndexedDataset[InstanceSample]:
    """Open DIS5K: training set DIS-TR or validation set DIS-VD."""
    images, masks = _dis_needs(dataset_dir("dis", root, split), split)
    return single_object(DIS_NAMES[split], split, images, masks)


def _coift_needs(base: Path, split: str) -> tuple[Path, Path]:
    return base / "COIFT" / "images", base / "COIFT" / "masks"


@dataset("coift", title="COIFT", homes=THIN_HOME, splits=("val",), needs=_coift_needs, layout=COIFT_LAYOUT)
def coift(root: Path, split: str) -> IndexedDataset[InstanceSample]:
    """Open COIFT, which is for validation only."""
    images, masks = _coift_needs(dataset_dir("coift", root, split), split)
    return single_object("COIFT", split, images, masks)


def _hrsod_needs(base: Path, split: str) -> tuple[Path, Path]:
    return base / "HRSOD" / "images", base / "HRSOD" / "masks_max255"


@dataset("hrsod", title="HRSOD", homes=THIN_HOME, splits=("val",), needs=_hrsod_needs, layout=HRSOD_LAYOUT)
def hrsod(root: Path, split: str) -> IndexedDataset[InstanceSample]:
    """Open HRSOD, which is for validation only."""
    images, masks = _hrsod_needs(dataset_dir("hrsod", root, split), split)
    return single_object("HRSOD", split, images, masks)


def single_object(
    name: str, split: str, images: Path, masks: Path, facts: Mapping[str, Any] | None = None
) -> IndexedDataset[InstanceSample]:
    """Open the images in one folder and the masks in another; a sample's id is the name without its suffix.

    An image without a mask is a sample that cannot be used; a mask without an image, and a second image of a name,
    are faults.
    """
    faults = []
    image_names: dict[str, str] = {}
    for file in names_in(images):
        if (stem := Path(file).stem) in image_names:
            faults.append(Fault(stem, str(images / file), f"a second image of this name, beside {image_names[stem]}"))
        image_names.setdefault(stem, file)
    mask_names: dict[str, str] = {}
    for file in names_in(masks, MASK_SUFFIXES):
        if (stem := Path(file).stem) not in image_names:
            faults.append(Fault(stem, str(masks / file), f"a mask without an image in {images}"))
        mask_names.setdefault(stem, file)
    pairs = [(images / file, masks / mask_names.get(stem, f"{stem}.png")) for stem, file in image_names.items()]
    return IndexedDataset(
        name, split, (), facts or {}, partial(_sample, pairs), len(pairs), partial(_content, pairs), tuple(faults)
    )


def _sample(pairs: list[tuple[Path, Path]], index: int) -> InstanceSample:
    image, mask = pairs[index]
    return InstanceSample(image.stem, str(image), partial(stored_image, image), partial(_instances, image, mask))


def _instances(image: Path, mask: Path) -> tuple[Instance, ...]:
    if not exists(mask):
        raise bad(mask, f"no such mask, of the image {image}")
    return (Instance(partial(_mask, image, mask), id=image.stem, grey=partial(_grey, image, mask)),)


def _mask(image: Path, mask: Path) -> NDArray[np.bool_]:
    return _grey(image, mask) > THRESHOLD


def _grey(image: Path, mask: Path) -> NDArray[np.uint8]:
    values = read_grey(mask)
    check_size(mask, values.shape, image)
    if not (values > THRESHOLD).any():
        raise bad(mask, "the mask has no pixel")
    return values


def _content(pairs: list[tuple[Path, Path]]) -> Iterator[bytes]:
    for image, mask in pairs:
        yield from sizes_of(image.parent, [image])
        yield from sizes_of(mask.parent, [mask])
