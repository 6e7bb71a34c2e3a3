"""Intersection over union of two masks, and of their boundaries (Cheng et al. 2021, arXiv 2103.16562).

The boundary is the mask minus its erosion by a square of 2d + 1 px, where d is a fraction of the image's diagonal.
Everything outside the image is background, so mask pixels within d of the image's border are always boundary.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
RATIO = 0.02  # of the diagonal; COCO's, LVIS's and HQ-SAM's


def mask_iou(a: NDArray[Any], b: NDArray[Any], *, empty: float = 0.0) -> float:
    """Return the pixels in both masks over the pixels in either, 0 to 1.

    a, b: Masks ``h w`` of one size, bool or integers 0 and 1.
    empty: The value for two masks without a pixel. The default 0 is that of RWKV-SAM's evaluation and of pycocotools;
        HQ-SAM's evaluation gives ``math.nan``, which turns the mean over a dataset into NaN as well.
    """
    return overlap(as_mask("a", a), as_mask("b", b), empty)


def overlap(a: Mask, b: Mask, empty: float) -> float:
    """Return the IoU of bool masks ``h w``; raise ValueError where their sizes differ."""
    if a.shape != b.shape:
        raise ValueError(f"masks must have one size, got {_size(a)} and {_size(b)}")
    both = int(np.count_nonzero(a & b))
    either = int(np.count_nonzero(a)) + int(np.count_nonzero(b)) - both
    return both / either if either else empty


def as_mask(name: str, values: NDArray[Any]) -> Mask:
    """Return a mask as bool; raise ValueError, naming it ``name``, unless it holds only 0 and 1.

    Ground truth in 0 to 255 is thresholded where it is read: thresholds belong to the dataset.
    """
    if values.ndim != 2:
        raise ValueError(f"{name} must be a mask `h w`, got {values.ndim} axes of sizes {values.shape}")
    if values.dtype == np.bool_:
        return values
    if values.dtype.kind not in "iu" or (values.size and (values.min() < 0 or values.max() > 1)):
        values_range = f"{values.dtype}, {values.min()} to {values.max()}" if values.size else str(values.dtype)
        raise ValueError(f"{name} must hold bool or the integers 0 and 1, got {values_range}")
    return values.astype(np.bool_)


def _size(mask: Mask) -> str:
    return " x ".join(str(n) for n in mask.shape)


class Patch(NamedTuple):
    """A mask cropped to its bounding box; all around is background.

    top, left: The box's corner, px.
    mask: ``h w`` of the box.
    """

    top: int
    left: int
    mask: Mask


def boundary_width(height: int, width: int, ratio: float = RATIO) -> int:
    """Return d for masks of that size: the boundary's width, px; at least 1."""
    if not 0 < ratio < 1:
        raise ValueError(f"ratio must be a fraction of the diagonal between 0 and 1, got {ratio}")
    return max(1, round(ratio * math.hypot(height, width)))  # halves to even, as in the published code


def boundary(mask: NDArray[Any], ratio: float = RATIO) -> Mask:
    """Return the mask's pixels that lie within d of a pixel outside it, ``h w``.

    mask: ``h w`` at the size of the image, bool or integers 0 and 1.
    """
    pixels = as_mask("mask", mask)
    edge = np.zeros_like(pixels)
    box = crop(pixels)
    inside = edge[box.top : box.top + box.mask.shape[0], box.left : box.left + box.mask.shape[1]]
    inside[:] = inner_boundary(box.mask, boundary_width(pixels.shape[0], pixels.shape[1], ratio))
    return edge


def boundary_iou(a: NDArray[Any], b: NDArray[Any], ratio: float = RATIO, *, empty: float = 0.0) -> float:
    """Return the IoU of the boundaries of two masks, 0 to 1; ``empty`` as in ``mask_iou``.

    COCO's boundary AP matches on the minimum of this and the mask IoU.
    """
    return overlap(boundary(a, ratio), boundary(b, ratio), empty)


def crop(mask: Mask) -> Patch:
    """Return the mask in its bounding box; ``0 0`` px where it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return Patch(0, 0, mask[:0, :0])
    top, left = int(rows[0]), int(columns[0])
    return Patch(top, left, mask[top : rows[-1] + 1, left : columns[-1] + 1])


def inner_boundary(mask: Mask, d: int) -> Mask:
    """Return the mask minus its erosion by a square of 2d + 1 px; all around is background.

    mask: ``h w``, may be cropped to its bounding box.
    The erosion is separable; along the columns eight pixels are packed into one byte.
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
    """Return the bitwise AND of each ``window`` consecutive rows, in log2(window) steps of all rows at once."""
    combined = 1  # rows that each row combines
    while combined < window:
        step = min(combined, window - combined)
        rows = rows[step:] & rows[:-step]
        combined += step
    return rows
