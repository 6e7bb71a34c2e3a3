"""Slices of a dataset by kind of mask: size, fraction of the image, thinness, complexity of the outline.

The edges between slices are fixed, so that a slice means the same on every dataset and for every model.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from linbench.metrics.intervals import bootstrap_mean
from linbench.metrics.iou import RATIO, Mask, as_mask, boundary_width, crop, inner_boundary

#: Names and the edges between them; a value on an edge belongs to the slice above it.
SIZE = (("small", "medium", "large"), (32.0**2, 96.0**2))  # px: COCO's classes
SHARE = (("under 5 %", "5 to 20 %", "over 20 %"), (0.05, 0.2))  # of the image
THINNESS = (("compact", "middle", "thin"), (0.6, 0.9))  # of the mask's pixels
COMPLEXITY = (("plain", "middle", "intricate"), (2.0, 6.0))  # a disc has 1.1, a square 1.3
KINDS = {"size": SIZE, "share": SHARE, "thinness": THINNESS, "complexity": COMPLEXITY}


class Traits(NamedTuple):
    """Measures of one mask; an empty mask has only size and share, the others are NaN.

    size: Area, px.
    share: Fraction of the image, 0 to 1.
    thinness: Boundary pixels over all of its pixels, 0 to 1: 1 where no pixel is farther from the outline than d.
    complexity: Perimeter² / (4 π area): 1 for an ideal disc; independent of size.
    """

    size: float
    share: float
    thinness: float
    complexity: float


def mask_traits(mask: NDArray[Any], ratio: float = RATIO) -> Traits:
    """Return the traits of a mask ``h w``; ``ratio`` is that of its boundary."""
    pixels = as_mask("mask", mask)
    box = crop(pixels).mask
    size = int(np.count_nonzero(box))
    if not size:
        return Traits(0.0, 0.0, math.nan, math.nan)
    thin = np.count_nonzero(inner_boundary(box, boundary_width(pixels.shape[0], pixels.shape[1], ratio))) / size
    return Traits(float(size), size / pixels.size, float(thin), perimeter(box) ** 2 / (4 * math.pi * size))


def perimeter(mask: Mask) -> float:
    """Return the length of the outlines, holes included, px, by marching squares between the centres of pixels.

    Each 2 x 2 block of pixels holds a half diagonal where one or three are in the mask, two half diagonals where two
    that touch at a corner are, and a straight piece where two side by side are. Outside is background.
    """
    padded = np.pad(mask, 1).astype(np.uint8)
    a, b, c, d = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    blocks = np.bincount((a + 2 * b + 4 * c + 8 * d).ravel(), minlength=16)
    corners = int(blocks[[1, 2, 4, 8, 7, 11, 13, 14]].sum())
    straight = int(blocks[[3, 5, 10, 12]].sum())
    crossed = int(blocks[[6, 9]].sum())
    return (corners + 2 * crossed) * math.sqrt(0.5) + straight


def slice_name(kind: str, value: float) -> str:
    """Return the slice of a value of ``size``, ``share``, ``thinness`` or ``complexity``; "empty" for NaN."""
    names, edges = KINDS[kind]
    return "empty" if math.isnan(value) else names[int(np.searchsorted(edges, value, side="right"))]


def slice_scores(traits: Sequence[Traits], scores: ArrayLike, seed: int) -> dict[str, dict[str, Mapping[str, float]]]:
    """Return the mean score of each slice: ``{"thinness": {"thin": {"value", "low", "high", "n"}, …}, …}``.

    Slices without a mask are left out.
    """
    values = np.asarray(scores, dtype=np.float64)
    result: dict[str, dict[str, Mapping[str, float]]] = {}
    for kind, (names, _) in KINDS.items():
        slices = np.array([slice_name(kind, getattr(mask, kind)) for mask in traits], dtype=object)
        result[kind] = {}
        for name in (*names, "empty"):
            selected = values[slices == name]
            if selected.size:
                low, high = bootstrap_mean(selected, seed)
                mean = float(selected.mean())
                result[kind][name] = {"value": mean, "low": low, "high": high, "n": int(selected.size)}
    return result
