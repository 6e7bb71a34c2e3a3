"""Intersection over union of two masks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def mask_iou(a: NDArray[Any], b: NDArray[Any], *, empty: float = 0.0) -> float:
    """Pixels in both masks over pixels in either, 0 to 1.

    a, b: Masks ``h w`` of one size, of truth values or of 0 and 1.
    empty: What two masks without a pixel give. 0 is what RWKV-SAM's evaluation and pycocotools say, and the default;
        HQ-SAM's says ``math.nan``, which turns the mean over a data set into NaN as well.
    """
    return overlap(as_mask("a", a), as_mask("b", b), empty)


def overlap(a: Mask, b: Mask, empty: float) -> float:
    """The same of masks that are known to be truth values."""
    if a.shape != b.shape:
        raise ValueError(f"masks of one size are compared; found {_size(a)} and {_size(b)}")
    both = int(np.count_nonzero(a & b))
    either = int(np.count_nonzero(a)) + int(np.count_nonzero(b)) - both
    return both / either if either else empty


def as_mask(name: str, values: NDArray[Any]) -> Mask:
    """A mask as truth values; raises ValueError, which calls it ``name``, unless it holds nothing but 0 and 1.

    Ground truth in 0 to 255 is brought to this form where it is read: thresholds are the data set's business.
    """
    if values.ndim != 2:
        raise ValueError(f"{name}: a mask is h w; found {values.ndim} axes of {values.shape}")
    if values.dtype == np.bool_:
        return values
    if values.dtype.kind not in "iu" or (values.size and (values.min() < 0 or values.max() > 1)):
        found = f"{values.dtype}, {values.min()} to {values.max()}" if values.size else str(values.dtype)
        raise ValueError(f"{name}: a mask holds truth values, or whole numbers 0 and 1; found {found}")
    return values.astype(np.bool_)


def _size(mask: Mask) -> str:
    return " x ".join(str(n) for n in mask.shape)
