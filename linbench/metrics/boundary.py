"""The boundary of a mask, and boundary IoU (Cheng et al. 2021, arXiv 2103.16562).

The boundary is the mask without its erosion by a square of 2d + 1 px, where d is a share of the image's diagonal and
everything outside the image is background: what lies within d of the image's border is always boundary.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from linbench.metrics.iou import Mask, as_mask, overlap

RATIO = 0.02  # of the diagonal; COCO's, LVIS's and HQ-SAM's


class Patch(NamedTuple):
    """A mask within its bounding box: what is outside is background.

    top, left: Where the box begins, px.
    mask: ``h w`` of the box.
    """

    top: int
    left: int
    mask: Mask


def reach(height: int, width: int, ratio: float = RATIO) -> int:
    """How far the boundary reaches into a mask of that size: d, px; at least 1."""
    if not 0 < ratio < 1:
        raise ValueError(f"ratio is a share of the diagonal, above 0 and below 1; found {ratio}")
    return max(1, round(ratio * math.hypot(height, width)))  # halves to even, as in the published code


def boundary(mask: NDArray[Any], ratio: float = RATIO) -> Mask:
    """The pixels of a mask that lie within d of what is not in it, ``h w``.

    mask: ``h w`` at the size of the image, of truth values or of 0 and 1.
    """
    whole = as_mask("mask", mask)
    edge = np.zeros_like(whole)
    box = cropped(whole)
    inside = edge[box.top : box.top + box.mask.shape[0], box.left : box.left + box.mask.shape[1]]
    inside[:] = rim(box.mask, reach(whole.shape[0], whole.shape[1], ratio))
    return edge


def boundary_iou(a: NDArray[Any], b: NDArray[Any], ratio: float = RATIO, *, empty: float = 0.0) -> float:
    """Intersection over union of the boundaries of two masks, 0 to 1; ``empty`` as in ``mask_iou``.

    It is not the minimum with the mask IoU, which is what COCO's boundary AP matches on.
    """
    return overlap(boundary(a, ratio), boundary(b, ratio), empty)


def cropped(mask: Mask) -> Patch:
    """The mask's bounding box; ``0 0`` px where it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return Patch(0, 0, mask[:0, :0])
    top, left = int(rows[0]), int(columns[0])
    return Patch(top, left, mask[top : rows[-1] + 1, left : columns[-1] + 1])


def rim(mask: Mask, d: int) -> Mask:
    """The mask without its erosion by a square of 2d + 1 px, all around being background.

    mask: ``h w``, cropped to its bounding box at will: beyond it everything is background anyway.
    The erosion is separable. Down the columns eight pixels go as one byte.
    """
    height, width = mask.shape
    window = 2 * d + 1
    edge = mask.copy()
    if height < window or width < window:
        return edge  # the square fits nowhere
    inner = _all_of(np.packbits(mask, axis=1), window)
    inner = _all_of(np.unpackbits(inner, axis=1, count=width).T, window).T
    edge[d : height - d, d : width - d] &= inner == 0
    return edge


def _all_of(rows: NDArray[np.uint8], window: int) -> NDArray[np.uint8]:
    """The bitwise AND of each ``window`` rows that follow one another, in log2(window) steps of all rows at once."""
    held = 1  # rows that each row stands for
    while held < window:
        step = min(held, window - held)
        rows = rows[step:] & rows[:-step]
        held += step
    return rows
