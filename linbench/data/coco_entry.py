"""The former home of ``linbench.coco.entry``, kept for scripts that import ``mask`` from here."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.coco.entry import segmentation_mask
from linbench.data.contract import BadSample


def mask(segmentation: Any, size: tuple[int, int], name: str) -> NDArray[np.bool_]:
    """Return the pixels ``h w`` of polygons or run lengths; raise BadSample, which begins with ``name``."""
    try:
        return segmentation_mask(segmentation, size)
    except ValueError as error:
        raise BadSample(f"{name}: {error}") from error
