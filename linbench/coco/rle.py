"""Masks as COCO's run lengths: down the columns, background first, as numbers or as compressed text.

    {"size": [h, w], "counts": [7, 2, 6]}        uncompressed
    {"size": [h, w], "counts": "72:"}            compressed, text or bytes

Run lengths are checked before pycocotools reads them: its C code trusts the lengths, and for runs that are too short
it would return uninitialised memory.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as pycoco

from linbench.system.untrusted import MOST_PIXELS

Rle = dict[str, Any]  # {"size": [h, w], "counts": bytes}, compressed, as pycocotools takes it


def encode(mask: NDArray[np.bool_]) -> Rle:
    """Return a mask ``h w`` as ``{"size": [h, w], "counts": text}``, which JSON can hold."""
    rle = pycoco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode("ascii")}


def decode(rle: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Return the mask ``h w`` of run lengths, compressed or not; raises ValueError where they do not fill it."""
    try:
        h, w = (int(n) for n in rle["size"])
        counts = rle["counts"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("run lengths are `size`, height and width, and `counts`") from error
    if h < 0 or w < 0 or h * w > MOST_PIXELS:
        raise ValueError(f"run lengths of a mask of {w} x {h} px; at most {MOST_PIXELS:,} px are read")
    lengths = run_lengths(counts, h * w)
    values = np.zeros(len(lengths), np.bool_)
    values[1::2] = True
    return np.repeat(values, lengths).reshape(w, h).T


def compress(counts: Any, height: int, width: int) -> Rle:
    """Return run lengths of an image of that size, px, as pycocotools takes them; raises ValueError as ``decode``."""
    run_lengths(counts, height * width)
    if isinstance(counts, list):
        return dict(pycoco.frPyObjects({"size": [height, width], "counts": counts}, height, width))
    return {"size": [height, width], "counts": counts if isinstance(counts, bytes) else counts.encode("ascii")}


def run_lengths(counts: Any, pixels: int) -> NDArray[np.int64]:
    """Return the lengths in px, background first, of ``counts``: a list of numbers, text or bytes.

    Raises ValueError for what no encoder writes, and where the lengths do not cover the mask's ``pixels``.
    """
    if isinstance(counts, list):
        lengths = _listed(counts)
    elif isinstance(counts, str | bytes):
        lengths = _expanded(counts.encode("utf-8", "surrogatepass") if isinstance(counts, str) else counts)
    else:
        raise ValueError("run lengths whose `counts` are neither text nor a list of numbers of pixels")
    if lengths.size and lengths.min() < 0:
        raise ValueError("a run length is negative")
    if lengths.size and lengths.max() >= 2**32:
        raise ValueError("the run lengths hold a number of more than 32 bits")
    if lengths.sum() != pixels:
        raise ValueError(f"the run lengths cover {int(lengths.sum()):,} px, the image has {pixels:,}")
    return lengths


def _listed(counts: list[Any]) -> NDArray[np.int64]:
    if not all(type(n) is int for n in counts):
        raise ValueError("the run lengths are not all whole numbers")
    try:
        return np.array(counts, np.int64)
    except OverflowError as error:
        raise ValueError("the run lengths hold a number of more than 32 bits") from error


def _expanded(counts: bytes) -> NDArray[np.int64]:
    """Return the lengths that compressed ``counts`` stand for.

    A number is written in groups of five bits, the lowest first, each a character from ``0`` on whose sixth bit says
    that another follows; the fifth bit of the last is the sign. From the fourth number on it is the difference to the
    one two before.
    """
    groups = np.frombuffer(counts, np.uint8).astype(np.int64) - ord("0")
    if not groups.size or groups.min() < 0 or groups.max() > 63:
        raise ValueError("the compressed run lengths hold characters that none have")
    last = np.flatnonzero(groups < 32)
    if not last.size or last[-1] != groups.size - 1:
        raise ValueError("the compressed run lengths are cut off")
    first = np.concatenate(([0], last[:-1] + 1))
    position = np.arange(groups.size) - np.repeat(first, last - first + 1)
    if position.max() > 6:
        raise ValueError("the compressed run lengths hold a number of more than 32 bits")
    lengths = np.add.reduceat((groups & 31) << (5 * position), first)
    lengths -= np.where(groups[last] & 16, np.int64(1) << (5 * (position[last] + 1)), 0)
    lengths[1::2] = np.cumsum(lengths[1::2])
    lengths[2::2] = np.cumsum(lengths[2::2])
    return lengths
