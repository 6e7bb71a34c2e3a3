"""Validate one annotation or detection of COCO: its ids, box, area, score and segmentation.

A function ``*_fault`` returns an empty text where nothing is wrong.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as pycoco

from linbench.coco import rle
from linbench.coco.rle import Rle
from linbench.system.untrusted import UNPRINTABLE

LONGEST_ID = 200  # characters of an id that is text
LONGEST_OUTLINE = 2**22  # px of all outlines of an object: pycocotools takes some 80 bytes for each


def identifier(value: Any) -> int | str | None:
    """Normalise an id of an image, annotation or category as pycocotools compares it: 1.0 is 1, text stays text.

    None for what is no id: nothing, truth values, fractions, lists, text that is empty or spoils a line.
    """
    if type(value) is str:
        return value if 0 < len(value) <= LONGEST_ID and not UNPRINTABLE.search(value) else None
    return whole(value)


def whole(value: Any) -> int | None:
    """Return a whole number, also where it is written as 48.0; None for anything else, as text and truth values."""
    number = int(value) if type(value) is float and value.is_integer() else value
    return number if type(number) is int and abs(number) < 2**63 else None


def is_number(value: Any) -> bool:
    """Return whether a value of JSON is a usable number: finite, below 1e15, and no truth value."""
    return _is_numeric(value) and abs(value) < 1e15


def _is_numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def annotation_fault(entry: Mapping[str, Any], size: tuple[int, int]) -> str:
    """Say why an annotation of an image of that size (h, w) is left out."""
    return crowd_fault(entry) or area_fault(entry) or segmentation_fault(entry.get("segmentation"), size)


def annotation_remark(entry: Mapping[str, Any]) -> str:
    """Say what is wrong with an annotation although its mask counts: its box, or a part without a pixel."""
    if reason := box_fault(entry):
        return reason
    segmentation = entry.get("segmentation")
    short = [len(part) for part in segmentation if len(part) < 6] if isinstance(segmentation, list) else ()
    return f"a part of its polygons with {short[0] // 2} points, which has no pixel" if short else ""


def crowd_fault(entry: Mapping[str, Any]) -> str:
    """Say what is wrong with `iscrowd` and `ignore`, if they are stated: Python takes the text "0" for true."""
    for name in ("iscrowd", "ignore"):
        value = entry.get(name)
        if value is not None and type(value) is not bool and whole(value) is None:
            return f"{name} {_short(value)} is neither 0 nor 1"
    return ""


def area_fault(entry: Mapping[str, Any]) -> str:
    """Say what is wrong with the area that an annotation states, if it does."""
    area = entry.get("area")
    return "" if area is None or (is_number(area) and area >= 0) else f"area {_short(area)} is no area"


def box_fault(entry: Mapping[str, Any]) -> str:
    """Say what is wrong with the box that an annotation or a detection states, if it does."""
    box = entry.get("bbox")
    if box is None:
        return ""
    if not (isinstance(box, list | tuple) and len(box) == 4 and all(map(_is_numeric, box))):
        return f"bbox {_short(box)} is not four numbers"
    if not all(map(is_number, box)):
        return f"bbox {_short(box)} is not finite"
    return f"bbox {_short(box)} (x, y, w, h) is reversed" if min(box[2:]) < 0 else ""


def score_fault(score: Any) -> str:
    """Say what is wrong with the score of a detection."""
    return "" if is_number(score) else f"score {_short(score)} is no finite number"


def segmentation_fault(segmentation: Any, size: tuple[int, int]) -> str:
    """Say what is wrong with the segmentation of an image of that size (h, w), as far as it shows undecoded."""
    if isinstance(segmentation, list):
        return _polygons_fault(segmentation)
    if not isinstance(segmentation, dict):
        return "no segmentation" if segmentation is None else "a segmentation of neither polygons nor run lengths"
    stated = segmentation.get("size")
    if not isinstance(stated, list | tuple) or list(stated) != list(size):
        return f"a mask of size {_short(stated)} (h, w) for an image of {list(size)}"
    return "" if isinstance(segmentation.get("counts"), str | bytes | list) else "run lengths without `counts`"


def _polygons_fault(polygons: list[Any]) -> str:
    if not polygons:
        return "a segmentation without polygons"
    for polygon in polygons:
        if not isinstance(polygon, list) or not all(map(_is_numeric, polygon)):
            return "a polygon that is no list of numbers"
        if len(polygon) % 2:
            return f"a polygon of {len(polygon)} numbers, which are no pairs"
    longest = max(map(len, polygons))
    return "" if longest >= 6 else f"a polygon with {longest // 2} points"


def segmentation_rle(segmentation: Any, size: tuple[int, int]) -> Rle:
    """Return polygons or run lengths of an image of that size (h, w) as compressed run lengths.

    Polygons become the union of their parts of three points or more; shorter parts beside these have no pixel:
    pycocotools would take a first part of two points for a box. Raises ValueError where they are no mask.
    """
    if reason := segmentation_fault(segmentation, size):
        raise ValueError(reason)
    h, w = size
    if isinstance(segmentation, dict):
        return rle.compress(segmentation["counts"], h, w)
    parts = [polygon for polygon in segmentation if len(polygon) >= 6]
    _check_outlines(parts, size)
    return dict(pycoco.merge(pycoco.frPyObjects(parts, h, w)))


def _check_outlines(polygons: list[list[float]], size: tuple[int, int]) -> None:
    """Raise ValueError for outlines that pycocotools' C code does not survive, in numbers or in memory."""
    h, w = size
    length = 0.0
    for polygon in polygons:
        if not all(map(is_number, polygon)):
            raise ValueError("a polygon has a number that is not finite")
        points = np.array(polygon, np.float64).reshape(-1, 2)
        if np.abs(points).max() > 2 * max(size):
            raise ValueError(f"a polygon reaches far outside the image of {w} x {h} px")
        length += float(np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum())
    if length > LONGEST_OUTLINE:
        raise ValueError(f"its outlines are {length:,.0f} px long; at most {LONGEST_OUTLINE:,} px are read")


def segmentation_mask(segmentation: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode polygons or run lengths of an image of that size (h, w) into a mask ``h w``; raises ValueError."""
    if reason := segmentation_fault(segmentation, size):
        raise ValueError(reason)
    return rle.decode(segmentation if isinstance(segmentation, dict) else segmentation_rle(segmentation, size))


def corners(box: Sequence[float]) -> tuple[float, float, float, float]:
    """Return x0 y0 x1 y1 of COCO's x y w h."""
    x, y, w, h = (float(value) for value in box)
    return x, y, x + w, y + h


def _short(value: Any) -> str:
    return repr(value)[:60]
