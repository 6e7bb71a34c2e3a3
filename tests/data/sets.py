"""Tiny datasets in the published layouts, written by the tests, and the damage done to them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linbench.coco import rle
from linbench.data.contract import BadSample

H, W = 12, 16


def folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def photo(path: Path, size=(H, W), seed=0) -> Path:
    """A noisy image of that height and width."""
    folder(path.parent)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    kind = "PNG" if path.suffix == ".png" else "JPEG"
    Image.fromarray(pixels).save(path, format=kind)
    return path


def square(top=2, left=3, side=4, size=(H, W)) -> np.ndarray:
    """A mask of one square."""
    mask = np.zeros(size, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def saved(array: np.ndarray, path: Path) -> Path:
    folder(path.parent)
    Image.fromarray(array).save(path)
    return path


def cut(path: Path, keep: float = 0.5) -> Path:
    """What is left of a file whose copy was broken off."""
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    return path


def dump(path: Path, content) -> Path:
    folder(path.parent)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def annotation(number: int, image: int, mask=None, **other):
    """A COCO annotation of a square, or of a mask."""
    mask = square() if mask is None else mask
    given = {"id": number, "image_id": image, "category_id": 18, "iscrowd": 0, "area": 16.0, "bbox": [3, 2, 4, 4]}
    return given | {"segmentation": rle.encode(mask)} | other


def coco_table(images=3, **other):
    """A COCO file of some images, one annotation for each."""
    names = [{"id": 10 + n, "file_name": f"{10 + n:012d}.jpg", "height": H, "width": W} for n in range(images)]
    return {
        "info": {"description": "a test"},
        "images": names,
        "annotations": [annotation(100 + n, 10 + n) for n in range(images)],
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
    } | other


def write_coco(root: Path, table=None, split="val") -> Path:
    """COCO's layout; returns the annotation file."""
    table = coco_table() if table is None else table
    for image in table["images"] if isinstance(table, dict) else ():
        if "/" not in str(image.get("file_name")):
            photo(root / "coco" / f"{split}2017" / str(image.get("file_name")))
    folder(root / "coco" / f"{split}2017")
    return dump(root / "coco" / "annotations" / f"instances_{split}2017.json", table)


def good_and_bad(dataset, use) -> tuple[list[str], list[str]]:
    """The ids of the samples that ``use`` can read, and what it says of the others, each in one line."""
    good, bad = [], []
    for number in range(len(dataset)):
        sample = dataset[number]
        try:
            use(sample)
            good.append(sample.id)
        except BadSample as error:
            assert "\n" not in str(error)
            bad.append(str(error))
    return good, bad


def whole(sample) -> None:
    """Read an image and each of its masks."""
    sample.image()
    for instance in sample.instances():
        instance.mask()


def the_one_bad(dataset, use=whole) -> str:
    """The fault of the only bad sample of a dataset, of which all others can be read."""
    good, bad = good_and_bad(dataset, use)
    if len(bad) != 1 or len(good) != len(dataset) - 1:
        pytest.fail(f"good {good}, bad {bad}")
    return bad[0]
