"""Masks as COCO's compressed run lengths, which its tools read."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco


def encode(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """``h w`` as ``{"size": [h, w], "counts": text}``, which JSON can hold."""
    found = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(n) for n in found["size"]], "counts": found["counts"].decode("ascii")}


def decode(runs: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The mask ``h w`` of what ``encode`` gave."""
    return np.asarray(coco.decode(dict(runs)), dtype=np.bool_)
