"""What kind of object a mask is, to say on which kinds a model is good: size, thinness, complexity of the outline.

The edges between classes are fixed, so that a slice means the same on every data set and for every model.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from linbench.metrics.boundary import RATIO, cropped, reach, rim
from linbench.metrics.intervals import bootstrap_mean
from linbench.metrics.iou import Mask, as_mask

#: Names and the edges between them; a value on an edge belongs to the class above it.
SIZE = (("small", "medium", "large"), (32.0**2, 96.0**2))  # px: COCO's classes
SHARE = (("under 5 %", "5 to 20 %", "over 20 %"), (0.05, 0.2))  # of the picture
THINNESS = (("compact", "middle", "thin"), (0.6, 0.9))  # of the mask's pixels
COMPLEXITY = (("plain", "middle", "intricate"), (2.0, 6.0))  # a disc has 1.1, a square 1.3
KINDS = {"size": SIZE, "share": SHARE, "thinness": THINNESS, "complexity": COMPLEXITY}


class Traits(NamedTuple):
    """Measures of one mask; NaN but for size and share where it is empty.

    size: px.
    share: Of the picture, 0 to 1.
    thinness: Boundary pixels over all of its pixels, 0 to 1: 1 where no place is farther from the outline than d.
    complexity: Perimeter² / (4 π area): 1 for a disc that is not made of pixels; free of size.
    """

    size: float
    share: float
    thinness: float
    complexity: float


def traits(mask: NDArray[Any], ratio: float = RATIO) -> Traits:
    """Measure a mask ``h w``; ``ratio`` is that of its boundary."""
    whole = as_mask("mask", mask)
    box = cropped(whole).mask
    size = int(np.count_nonzero(box))
    if not size:
        return Traits(0.0, 0.0, math.nan, math.nan)
    thin = np.count_nonzero(rim(box, reach(whole.shape[0], whole.shape[1], ratio))) / size
    return Traits(float(size), size / whole.size, float(thin), perimeter(box) ** 2 / (4 * math.pi * size))


def perimeter(mask: Mask) -> float:
    """Length of the outlines, holes included, px: what marching squares draw between the centres of pixels.

    Each 2 x 2 block of pixels holds a half diagonal where one or three are in the mask, two where two are that touch
    at a corner, and a straight piece where two are that lie side by side. Outside is background.
    """
    padded = np.pad(mask, 1).astype(np.uint8)
    a, b, c, d = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    blocks = np.bincount((a + 2 * b + 4 * c + 8 * d).ravel(), minlength=16)
    corners = int(blocks[[1, 2, 4, 8, 7, 11, 13, 14]].sum())
    straight = int(blocks[[3, 5, 10, 12]].sum())
    crossed = int(blocks[[6, 9]].sum())
    return (corners + 2 * crossed) * math.sqrt(0.5) + straight


def slice_of(kind: str, value: float) -> str:
    """The name of the class that a value of ``size``, ``share``, ``thinness`` or ``complexity`` falls into."""
    names, edges = KINDS[kind]
    return "empty" if math.isnan(value) else names[int(np.searchsorted(edges, value, side="right"))]


def sliced(of: Sequence[Traits], scores: ArrayLike, seed: int) -> dict[str, dict[str, Mapping[str, float]]]:
    """The mean score of each slice: ``{"thinness": {"thin": {"value", "low", "high", "n"}, …}, …}``; classes that are
    empty are left out."""
    values = np.asarray(scores, dtype=np.float64)
    found: dict[str, dict[str, Mapping[str, float]]] = {}
    for kind, (names, _) in KINDS.items():
        classes = np.array([slice_of(kind, getattr(one, kind)) for one in of], dtype=object)
        found[kind] = {}
        for name in (*names, "empty"):
            chosen = values[classes == name]
            if chosen.size:
                low, high = bootstrap_mean(chosen, seed)
                found[kind][name] = {"value": float(chosen.mean()), "low": low, "high": high, "n": int(chosen.size)}
    return found
