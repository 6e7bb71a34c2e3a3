"""One annotation as COCO writes it: what may be wrong with it, and the instance that it is."""

import math
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from linbench.data import rle
from linbench.data.contract import BadSample, Instance

NUMBERS = {int, float}  # and not bool, which is an int to isinstance
LONGEST_ID = 200  # characters of an id that is text
#: Characters that end a line, control a terminal, or cannot be written as UTF-8.
UNPRINTED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def identifier(value: Any) -> int | str | None:
    """Normalise an id of an image, annotation or category as pycocotools compares it: 1.0 is 1, text stays text.

    None for what is no id: nothing, truth values, fractions, lists, text that is empty or spoils a line.
    """
    if type(value) is str:
        return value if 0 < len(value) <= LONGEST_ID and not UNPRINTED.search(value) else None
    return whole(value)


def whole(value: Any) -> int | None:
    """A whole number, also where it is written as 48.0; None for anything else, as text and truth values."""
    number = int(value) if type(value) is float and value.is_integer() else value
    return number if type(number) is int and abs(number) < 2**63 else None


def fault(entry: Mapping[str, Any], size: tuple[int, int]) -> str:
    """Say in a few words why an annotation of an image of that size (h, w) is left out; empty where it counts."""
    return crowd_fault(entry) or area_fault(entry) or segmentation_fault(entry.get("segmentation"), size)


def remark(entry: Mapping[str, Any]) -> str:
    """Say what is wrong with an annotation although its mask counts: its box, or a part without a pixel."""
    if reason := box_fault(entry):
        return reason
    segmentation = entry.get("segmentation")
    short = [len(part) for part in segmentation if len(part) < 6] if isinstance(segmentation, list) else ()
    return f"a part of its polygons with {short[0] // 2} points, which has no pixel" if short else ""


def instance(entry: Mapping[str, Any], size: tuple[int, int], category: int, said: str) -> Instance:
    """Make the instance of an annotation that has no fault; a box that is none counts as not stated.

    category: Its index in the data set's classes.
    said: What errors call it: its file and its id.
    """
    return Instance(
        mask=partial(mask, entry["segmentation"], size, said),
        box=None if box_fault(entry) else corners(entry.get("bbox")),
        category=category,
        crowd=bool(entry.get("iscrowd")),
        ignored=bool(entry.get("ignore")),
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
    """Decode polygons or run lengths into pixels ``h w``, of which there may be none, as of an object below a pixel.

    Raises BadSample where they are no mask, or one of another size.
    """
    try:
        if reason := segmentation_fault(segmentation, size):
            raise ValueError(reason)
        return _polygons(segmentation, size) if isinstance(segmentation, list) else rle.decode(segmentation)
    except ValueError as error:
        raise BadSample(f"{said}: {error}") from error


def _polygons(polygons: list[list[float]], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The union of the parts of three points or more; shorter ones beside these have no pixel.

    As the first, pycocotools would take a part of two points for a box.
    """
    h, w = size
    parts = [polygon for polygon in polygons if len(polygon) >= 6]
    for polygon in parts:
        reach = np.asarray(polygon, np.float64)
        if not np.isfinite(reach).all():
            raise ValueError("a polygon has a number that is not finite")
        if reach.min() < -max(size) or (reach[0::2] > 2 * w).any() or (reach[1::2] > 2 * h).any():
            raise ValueError(f"a polygon reaches far outside the picture of {w} x {h} px")
    return rle.decode(coco.merge(coco.frPyObjects(parts, h, w)))


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
        longest = max(map(len, segmentation))
        return "" if longest >= 6 else f"a polygon with {longest // 2} points"
    if not isinstance(segmentation, dict):
        return "no segmentation" if segmentation is None else "a segmentation of neither polygons nor run lengths"
    found = segmentation.get("size")
    if not isinstance(found, list) or found != list(size):
        return f"a mask of size {_short(found)} (h, w) for a picture of {list(size)}"
    return "" if isinstance(segmentation.get("counts"), str | list) else "run lengths without `counts`"


def box_fault(entry: Mapping[str, Any]) -> str:
    """Say what is wrong with the box that an annotation or a detection states, if it does."""
    box = entry.get("bbox")
    if box is None:
        return ""
    if not (isinstance(box, list) and len(box) == 4 and NUMBERS.issuperset(map(type, box))):
        return f"bbox {_short(box)} is not four numbers"
    if not all(_finite(value) for value in box):
        return f"bbox {_short(box)} is not finite"
    return f"bbox {_short(box)} (x, y, w, h) is reversed" if min(box[2:]) < 0 else ""


def score_fault(score: Any) -> str:
    """Say what is wrong with the score of a detection; empty where nothing is."""
    if type(score) in NUMBERS and -1e9 < score < 1e9:  # NaN is not either
        return ""
    return f"score {_short(score)} is no finite number"


def area_fault(entry: Mapping[str, Any]) -> str:
    """Say what is wrong with the area that an annotation states, if it does."""
    area = entry.get("area")
    if area is None or (type(area) in NUMBERS and 0 <= area < 1e15):
        return ""
    return f"area {_short(area)} is no area"


def crowd_fault(entry: Mapping[str, Any]) -> str:
    """Say what is wrong with `iscrowd` and `ignore`, if they are stated: Python takes the text "0" for true."""
    for name in ("iscrowd", "ignore"):
        value = entry.get(name)
        if value is not None and type(value) is not bool and whole(value) is None:
            return f"{name} {_short(value)} is neither 0 nor 1"
    return ""


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _short(value: Any) -> str:
    return repr(value)[:60]
