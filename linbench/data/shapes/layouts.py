"""The embedded dataset on disk, in the layouts of published datasets whose files are sorted into folders.

Each layout writes one image at a time, and at the end the files about all of them. Layouts in COCO's format are in
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

    task: The task whose scenes it holds.
    shown_by: For each split of the layout, the path below the root whose existence shows that the split exists.
    write: Writes the files of image ``number``, from 1, of a split below a root; returns what ``close`` needs.
    close: Writes the files about all images, in the order of their numbers; None where there are none.
    """

    task: str
    shown_by: Mapping[str, str]
    write: Callable[[RenderedScene, int, str, Path], Any]
    close: Callable[[Sequence[Any], str, Path], None] | None = None


def save(pixels: NDArray[np.uint8], path: Path) -> None:
    """Write an image, or a mask of one channel, in the format of the name's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=JPEG_QUALITY, compress_level=4)


def wnid(label: int) -> str:
    """Return the name of a class's folder, like a WordNet id; WordNet itself has none of these."""
    return f"n99{label:06d}"


def _imagenet(rendered: RenderedScene, number: int, split: str, root: Path) -> None:
    folder = wnid(rendered.label)
    name = f"{folder}_{number}" if split == "train" else f"ILSVRC2012_val_{number:08d}"
    save(rendered.image, root / "imagenet" / split / folder / f"{name}.JPEG")


def _imagenet_classes(_: Sequence[Any], split: str, root: Path) -> None:
    for label in range(len(THINGS)):
        (root / "imagenet" / split / wnid(label)).mkdir(parents=True, exist_ok=True)
    lines = [f"{wnid(label)} {name}\n" for label, name in enumerate(THINGS)]
    (root / "imagenet" / "LOC_synset_mapping.txt").write_text("".join(lines), encoding="utf-8")


def _ade20k(rendered: RenderedScene, number: int, split: str, root: Path) -> None:
    base, folder = root / "ADEChallengeData2016", {"train": "training", "val": "validation"}[split]
    save(rendered.image, base / "images" / folder / f"ADE_{split}_{number:08d}.jpg")
    save(rendered.semantic + np.uint8(1), base / "annotations" / folder / f"ADE_{split}_{number:08d}.png")


def _ade20k_classes(_: Sequence[Any], __: str, root: Path) -> None:
    lines = [f"{index}\t-\t-\t-\t{int(name not in THINGS)}\t{name}\n" for index, name in enumerate(CLASSES, start=1)]
    path = root / "ADEChallengeData2016" / "objectInfo150.txt"
    path.write_text("Idx\tRatio\tTrain\tVal\tStuff\tName\n" + "".join(lines), encoding="utf-8")


def _single(images: str, masks: str) -> Callable[[RenderedScene, int, str, Path], None]:
    """Return a writer of images in one folder and masks, 0 and 255, in another; ``{}`` is the part of DIS5K."""

    def write(rendered: RenderedScene, number: int, split: str, root: Path) -> None:
        part = {"train": "DIS-TR", "val": "DIS-VD"}[split]
        name = f"{number:05d}_{THINGS[rendered.label]}"
        save(rendered.image, root / images.format(part) / f"{name}.jpg")
        save((rendered.ids > 0) * np.uint8(255), root / masks.format(part) / f"{name}.png")

    return write


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
    ),
    "coift": Layout(
        "coift",
        {"val": "thin_object_detection/COIFT"},
        _single("thin_object_detection/COIFT/images", "thin_object_detection/COIFT/masks"),
    ),
    "hrsod": Layout(
        "hrsod",
        {"val": "thin_object_detection/HRSOD"},
        _single("thin_object_detection/HRSOD/images", "thin_object_detection/HRSOD/masks_max255"),
    ),
}
