"""One annotation as COCO writes it: what may be wrong with it, and the instance that it is."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from linbench.data import rle
from linbench.data.contract import BadSample, Instance

NUMBERS = {int, float}  # and not bool, which is an int to isinstance


def fault(entry: Mapping[str, Any], size: tuple[int, int]) -> str:
    """What is wrong with an annotation of a picture of that size (h, w), in a few words; empty where nothing is."""
    return measure_fault(entry) or segmentation_fault(entry.get("segmentation"), size)


def measure_fault(entry: Mapping[str, Any]) -> str:
    """What is wrong with the box and the area that an annotation states, if it does."""
    return _box_fault(entry.get("bbox")) or _area_fault(entry.get("area"))


def instance(entry: Mapping[str, Any], size: tuple[int, int], category: int, said: str) -> Instance:
    """The instance of an annotation that has no fault.

    category: Its index in the data set's classes.
    said: What errors call it: its file and its id.
    """
    return Instance(
        mask=partial(mask, entry["segmentation"], size, said),
        box=corners(entry.get("bbox")),
        category=category,
        crowd=bool(entry.get("iscrowd", 0)),
        area=None if entry.get("area") is None else float(entry["area"]),
        id=str(entry.get("id", "")),
    )


def corners(box: Any) -> tuple[float, float, float, float] | None:
    """x0 y0 x1 y1 of COCO's x y w h."""
    if box is None:
        return None
    x, y, w, h = (float(value) for value in box)
    return x, y, x + w, y + h


def mask(segmentation: Any, size: tuple[int, int], said: str) -> NDArray[np.bool_]:
    """The pixels ``h w`` of polygons or run lengths; raises BadSample where they are none, or not of that size."""
    try:
        if reason := segmentation_fault(segmentation, size):
            raise ValueError(reason)
        found = _polygons(segmentation, size) if isinstance(segmentation, list) else rle.decode(segmentation)
    except ValueError as error:
        raise BadSample(f"{said}: {error}") from error
    if not found.any():
        raise BadSample(f"{said}: the mask has no pixel")
    return found


def _polygons(polygons: list[list[float]], size: tuple[int, int]) -> NDArray[np.bool_]:
    h, w = size
    for polygon in polygons:
        reach = np.asarray(polygon, np.float64)
        if not np.isfinite(reach).all():
            raise ValueError("a polygon has a number that is not finite")
        if reach.min() < -max(size) or (reach[0::2] > 2 * w).any() or (reach[1::2] > 2 * h).any():
            raise ValueError(f"a polygon reaches far outside the picture of {w} x {h} px")
    return rle.decode(coco.merge(coco.frPyObjects(polygons, h, w)))


def segmentation_fault(segmentation: Any, size: tuple[int, int]) -> str:
    """What is wrong with a segmentation, as far as can be told without decoding it."""
    if isinstance(segmentation, list):
        if not segmentation:
            return "a segmentation without polygons"
        for polygon in segmentation:
            if not isinstance(polygon, list) or not NUMBERS.issuperset(map(type, polygon)):
                return "a polygon that is no list of numbers"
            if len(polygon) % 2:
                return f"a polygon of {len(polygon)} numbers, which are no pairs"
            if len(polygon) < 6:
                return f"a polygon with {len(polygon) // 2} points"
        return ""
    if not isinstance(segmentation, dict):
        return "no segmentation" if segmentation is None else "a segmentation of neither polygons nor run lengths"
    found = segmentation.get("size")
    if not isinstance(found, list) or found != list(size):
        return f"a mask of size {_short(found)} (h, w) for a picture of {list(size)}"
    return "" if isinstance(segmentation.get("counts"), str | list) else "run lengths without `counts`"


def _box_fault(box: Any) -> str:
    if box is None:
        return ""
    if not (isinstance(box, list) and len(box) == 4 and NUMBERS.issuperset(map(type, box))):
        return f"bbox {_short(box)} is not four numbers"
    if not all(_finite(value) for value in box):
        return f"bbox {_short(box)} is not finite"
    return f"bbox {_short(box)} (x, y, w, h) is reversed" if min(box[2:]) < 0 else ""


def _area_fault(area: Any) -> str:
    if area is None or (type(area) in NUMBERS and _finite(area) and area >= 0):
        return ""
    return f"area {_short(area)} is no area"


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _short(value: Any) -> str:
    return str(value)[:60]
