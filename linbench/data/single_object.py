"""Sets of pictures with one object each, in two folders: pictures, and masks of the same names."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.data.contract import Fault, Instance, InstanceSample
from linbench.data.ground_truth import THRESHOLD, read_grey
from linbench.data.image import check_size, stored_image
from linbench.data.indexed_dataset import IndexedDataset
from linbench.data.listing import bad, exists, names_in, sizes_of

MASKS = (".png", ".bmp", ".gif")


def single_object(
    name: str, split: str, images: Path, masks: Path, facts: Mapping[str, Any] | None = None
) -> IndexedDataset[InstanceSample]:
    """The set of the pictures in one folder and the masks in another; a sample's id is the name without its ending.

    A picture without a mask is a sample that cannot be used; a mask without a picture, and a second picture of a
    name, are faults.
    """
    faults = []
    found: dict[str, str] = {}
    for file in names_in(images):
        if (stem := Path(file).stem) in found:
            faults.append(Fault(stem, str(images / file), f"a second picture of this name, beside {found[stem]}"))
        found.setdefault(stem, file)
    of: dict[str, str] = {}
    for file in names_in(masks, MASKS):
        if (stem := Path(file).stem) not in found:
            faults.append(Fault(stem, str(masks / file), f"a mask without a picture in {images}"))
        of.setdefault(stem, file)
    pairs = [(images / file, masks / of.get(stem, f"{stem}.png")) for stem, file in found.items()]
    return IndexedDataset(
        name, split, (), facts or {}, partial(_sample, pairs), len(pairs), partial(_content, pairs), tuple(faults)
    )


def _sample(pairs: list[tuple[Path, Path]], number: int) -> InstanceSample:
    image, mask = pairs[number]
    return InstanceSample(image.stem, str(image), partial(stored_image, image), partial(_instances, image, mask))


def _instances(image: Path, mask: Path) -> tuple[Instance, ...]:
    if not exists(mask):
        raise bad(mask, f"no such mask, of the picture {image}")
    return (Instance(partial(_mask, image, mask), id=image.stem, grey=partial(_grey, image, mask)),)


def _mask(image: Path, file: Path) -> NDArray[np.bool_]:
    return _grey(image, file) > THRESHOLD


def _grey(image: Path, file: Path) -> NDArray[np.uint8]:
    found = read_grey(file)
    check_size(file, found.shape, image)
    if not (found > THRESHOLD).any():
        raise bad(file, "the mask has no pixel")
    return found


def _content(pairs: list[tuple[Path, Path]]) -> Iterator[bytes]:
    for image, mask in pairs:
        yield from sizes_of(image.parent, [image])
        yield from sizes_of(mask.parent, [mask])
