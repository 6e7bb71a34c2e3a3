"""Intersection over union of two masks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


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
