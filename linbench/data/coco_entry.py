"""The former home of ``linbench.coco.entry``, kept for scripts that import ``mask`` from here."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.coco.entry import segmentation_mask
from linbench.data.contract import as_bad_sample


def mask(segmentation: Any, size: tuple[int, int], name: str) -> NDArray[np.bool_]:
    """Return the pixels ``h w`` of polygons or run lengths; raise BadSample, which begins with ``name``."""
    with as_bad_sample(name):
        return segmentation_mask(segmentation, size)
