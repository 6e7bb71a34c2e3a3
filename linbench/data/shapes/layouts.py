"""The embedded set on disk, in the layouts that the real sets are published in: sets of files by folder.

Each layout writes one image at a time, and at the end what speaks of all of them. Those in COCO's format stand in
``coco_layouts.py``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from linbench.data.shapes.render import RenderedScene
from linbench.data.shapes.scene import CLASSES, THINGS

JPEG_QUALITY = 95


@dataclass(frozen=True)
class Layout:
    """One published layout.

    task: Whose scenes it shows.
    shown_by: By split, what shows below the root that it is there; the layout has no other split.
    write: Writes the files of image ``number``, from 1, of a split below a root; returns what ``close`` needs.
    close: Writes the files that speak of all images, in the order of their numbers.
    """

    task: str
    shown_by: Mapping[str, str]
    write: Callable[[RenderedScene, int, str, Path], Any]
    close: Callable[[Sequence[Any], str, Path], None]


def save(pixels: NDArray[np.uint8], path: Path) -> None:
    """Write an image, or a mask of one channel, in the format that the name's ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=JPEG_QUALITY, compress_level=4)


def wnid(label: int) -> str:
    """The name of a class's folder, like a WordNet id; WordNet itself has none of these."""
    return f"n99{label:06d}"


def _imagenet(found: RenderedScene, number: int, split: str, root: Path) -> None:
    folder = wnid(found.label)
    name = f"{folder}_{number}" if split == "train" else f"ILSVRC2012_val_{number:08d}"
    save(found.image, root / "imagenet" / split / folder / f"{name}.JPEG")


def _imagenet_classes(_: Sequence[Any], split: str, root: Path) -> None:
    for label in range(len(THINGS)):
        (root / "imagenet" / split / wnid(label)).mkdir(parents=True, exist_ok=True)
    lines = [f"{wnid(label)} {name}\n" for label, name in enumerate(THINGS)]
    (root / "imagenet" / "LOC_synset_mapping.txt").write_text("".join(lines), encoding="utf-8")


def _ade20k(found: RenderedScene, number: int, split: str, root: Path) -> None:
    base, folder = root / "ADEChallengeData2016", {"train": "training", "val": "validation"}[split]
    save(found.image, base / "images" / folder / f"ADE_{split}_{number:08d}.jpg")
    save(found.semantic + np.uint8(1), base / "annotations" / folder / f"ADE_{split}_{number:08d}.png")


def _ade20k_classes(_: Sequence[Any], __: str, root: Path) -> None:
    lines = [f"{place}\t-\t-\t-\t{int(name not in THINGS)}\t{name}\n" for place, name in enumerate(CLASSES, start=1)]
    path = root / "ADEChallengeData2016" / "objectInfo150.txt"
    path.write_text("Idx\tRatio\tTrain\tVal\tStuff\tName\n" + "".join(lines), encoding="utf-8")


def _single(images: str, masks: str) -> Callable[[RenderedScene, int, str, Path], None]:
    """Images in one folder, masks 0 and 255 of the same names in another; ``{}`` stands for the DIS5K part."""

    def write(found: RenderedScene, number: int, split: str, root: Path) -> None:
        part = {"train": "DIS-TR", "val": "DIS-VD"}[split]
        name = f"{number:05d}_{THINGS[found.label]}"
        save(found.image, root / images.format(part) / f"{name}.jpg")
        save((found.ids > 0) * np.uint8(255), root / masks.format(part) / f"{name}.png")

    return write


def _nothing(*_: Any) -> None:
    """These layouts have no file that speaks of all images."""


FOLDERS = {
    "imagenet": Layout("classes", {"train": "imagenet/train", "val": "imagenet/val"}, _imagenet, _imagenet_classes),
    "ade20k": Layout(
        "objects",
        {"train": "ADEChallengeData2016/images/training", "val": "ADEChallengeData2016/images/validation"},
        _ade20k,
        _ade20k_classes,
    ),
    "dis": Layout(
        "dis",
        {"train": "DIS5K/DIS-TR", "val": "DIS5K/DIS-VD"},
        _single("DIS5K/{}/im", "DIS5K/{}/gt"),
        _nothing,
    ),
    "coift": Layout(
        "coift",
        {"val": "thin_object_detection/COIFT"},
        _single("thin_object_detection/COIFT/images", "thin_object_detection/COIFT/masks"),
        _nothing,
    ),
    "hrsod": Layout(
        "hrsod",
        {"val": "thin_object_detection/HRSOD"},
        _single("thin_object_detection/HRSOD/images", "thin_object_detection/HRSOD/masks_max255"),
        _nothing,
    ),
}
