"""COCO's segmentations, checked before pycocotools reads them: its C code trusts the run lengths that it is given."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

#: Length of all outlines of a segmentation, px: pycocotools takes about 100 bytes for each.
LONGEST_OUTLINE = 2**22
Runs = dict[str, Any]  # {"size": [h, w], "counts": bytes}, compressed


def runs(segmentation: Any, height: int, width: int) -> Runs:
    """Polygons, run lengths or compressed run lengths of an image of that size, px, as compressed run lengths.

    Raises ValueError of one line that says what is wrong with it.
    """
    if isinstance(segmentation, list):
        return _of_polygons(segmentation, height, width)
    if not isinstance(segmentation, dict):
        raise ValueError("a segmentation is a list of polygons or run lengths {size, counts}")
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not (isinstance(size, list | tuple) and [*size] == [height, width]):
        raise ValueError(f"the run lengths are of size {size}, the image has {[height, width]} (h, w)")
    if isinstance(counts, list):
        if not all(type(n) is int and n < 2**32 for n in counts):
            raise ValueError("the run lengths are not all whole numbers of less than 2^32")
        _check(np.array(counts, dtype=np.float64), height * width)
        return dict(coco.frPyObjects({"size": [height, width], "counts": counts}, height, width))
    if not isinstance(counts, str | bytes):
        raise ValueError("the run lengths have no counts")
    raw = counts if isinstance(counts, bytes) else counts.encode("utf-8")
    _check(run_lengths(raw), height * width)
    return {"size": [height, width], "counts": raw}


def run_lengths(counts: bytes) -> NDArray[np.int64]:
    """The lengths in px, background first, that compressed ``counts`` stand for.

    A number is written in groups of five bits, the lowest first, each a character from ``0`` on whose sixth bit says
    that another follows; the fifth bit of the last is the sign. From the fourth number on it is the difference to the
    one two before. Raises ValueError for what no encoder writes.
    """
    groups = np.frombuffer(counts, np.uint8).astype(np.int64) - ord("0")
    if not groups.size or groups.min() < 0 or groups.max() > 63:
        raise ValueError("the compressed run lengths hold characters that none have")
    last = np.flatnonzero(groups < 32)
    if not last.size or last[-1] != groups.size - 1:
        raise ValueError("the compressed run lengths are cut off")
    first = np.concatenate(([0], last[:-1] + 1))
    place = np.arange(groups.size) - np.repeat(first, last - first + 1)
    if place.max() > 6:
        raise ValueError("the compressed run lengths hold a number of more than 32 bits")
    lengths = np.add.reduceat((groups & 31) << (5 * place), first)
    lengths[(groups[last] & 16) != 0] -= 1 << (5 * (place[last] + 1))[(groups[last] & 16) != 0]
    lengths[1::2] = np.cumsum(lengths[1::2])
    lengths[2::2] = np.cumsum(lengths[2::2])
    return lengths


def _check(lengths: NDArray[Any], pixels: int) -> None:
    if lengths.size and lengths.min() < 0:
        raise ValueError("a run length is negative")
    if lengths.sum() != pixels:
        raise ValueError(f"the run lengths cover {int(lengths.sum()):,} px, the image has {pixels:,}")


def _of_polygons(polygons: Sequence[Any], height: int, width: int) -> Runs:
    """The union of the parts of three points or more; beside these, shorter ones have no pixel.

    pycocotools would take a first part of two points for a box, and reserves memory by a coordinate's size.
    """
    if not polygons:
        raise ValueError("it has no polygon")
    far = 2 * max(height, width)
    longest = max(len(polygon) if isinstance(polygon, list) else 0 for polygon in polygons)
    outline = 0.0
    for polygon in polygons:
        if not isinstance(polygon, list) or not all(is_number(value) for value in polygon):
            raise ValueError("a polygon is not a list of finite numbers")
        if len(polygon) % 2 or longest < 6:
            raise ValueError(f"a polygon has {len(polygon) / 2:g} points, and needs three or more")
        if polygon and (min(polygon) < -far or max(polygon) > far):
            raise ValueError(
                f"a polygon reaches {max(map(abs, polygon)):g} px, the image has {[height, width]} (h, w)"
            )
        outline += length(polygon)
    if outline > LONGEST_OUTLINE:
        raise ValueError(f"its outline of {outline:,.0f} px is longer than the {LONGEST_OUTLINE:,} px that are drawn")
    parts = [polygon for polygon in polygons if len(polygon) >= 6]
    return dict(coco.merge(coco.frPyObjects(parts, height, width)))


def length(polygon: Sequence[float]) -> float:
    """Length of a polygon's outline in px, a diagonal step as one: what pycocotools reserves memory by, and draws."""
    points = np.asarray(polygon, np.float64).reshape(-1, 2)
    return float(np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum())


def is_number(value: Any) -> bool:
    """Whether JSON's ``value`` is a number that one can count with: finite, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
