"""Masks as COCO's run lengths: in columns, background first, as numbers or as its compressed text."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from linbench.data.image import MOST_PIXELS


def encode(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """``h w`` as ``{"size": [h, w], "counts": text}``, which JSON can hold."""
    found = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(n) for n in found["size"]], "counts": found["counts"].decode("ascii")}


def decode(runs: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The mask ``h w`` of run lengths, compressed or not; raises ValueError where they do not fill it exactly.

    pycocotools itself would give what its memory held for runs that are too short.
    """
    try:
        h, w = (int(n) for n in runs["size"])
        counts = runs["counts"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("run lengths are `size`, height and width, and `counts`") from error
    if h < 0 or w < 0 or h * w > MOST_PIXELS:
        raise ValueError(f"run lengths of a mask of {w} x {h} px; at most {MOST_PIXELS:,} px are read")
    lengths = _expanded(counts) if isinstance(counts, str | bytes) else _numbers(counts)
    if (lengths < 0).any() or lengths.sum() != h * w:
        raise ValueError(f"run lengths of {int(lengths.sum()):,} px for a mask of {w} x {h} px")
    values = np.zeros(len(lengths), np.bool_)
    values[1::2] = True
    return np.repeat(values, lengths).reshape(w, h).T


def _numbers(counts: Any) -> NDArray[np.int64]:
    if not isinstance(counts, list) or not all(type(n) is int and 0 <= n < 2**32 for n in counts):
        raise ValueError("`counts` is neither text nor a list of numbers of pixels")
    return np.array(counts, np.int64)


def _expanded(text: str | bytes) -> NDArray[np.int64]:
    """The run lengths of COCO's text: 5 bits a character, low first; from the fourth on, less that two before."""
    try:
        signs = np.frombuffer(text.encode("ascii") if isinstance(text, str) else text, np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError as error:
        raise ValueError("`counts` is no run-length text") from error
    ends = np.flatnonzero((signs & 32) == 0)
    if not len(signs) or signs.min() < 0 or signs.max() > 63 or not len(ends) or ends[-1] != len(signs) - 1:
        raise ValueError("`counts` is no run-length text")
    begins = np.concatenate(([0], ends[:-1] + 1))
    if (ends - begins).max() > 6:
        raise ValueError("`counts` has a run that is too long")
    place = np.arange(len(signs)) - np.repeat(begins, ends - begins + 1)
    found = np.add.reduceat((signs & 31) << (5 * place), begins)
    found -= np.where(signs[ends] & 16, np.int64(1) << (5 * (ends - begins + 1)), 0)
    found[1::2] = np.cumsum(found[1::2])
    found[2::2] = np.cumsum(found[2::2])
    return found
