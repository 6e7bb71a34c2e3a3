"""Large-scale jitter (arXiv 2012.07177): a picture is resized at random, a square is cut out of it, the rest padded.

The picture, its masks and the boxes of them go through one ``View``, so that they keep fitting each other. Sizes are
``(height, width)`` in px.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Size = tuple[int, int]
V = TypeVar("V", bound=np.generic)


@dataclass(frozen=True)
class View:
    """What of a picture the model sees, at the upper left of its input.

    original: Size of the picture.
    resized: Size that the whole picture would have.
    start: First row and column of the resized picture that are seen.
    seen: Height and width of what is seen.
    flip: Whether it is mirrored, left to right.
    """

    original: Size
    resized: Size
    start: Size
    seen: Size
    flip: bool

    def picture(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bilinear, antialiased where it shrinks, as SAM's pictures are resized."""
        (top, left), (h, w) = self.start, self.seen
        down, along = self.original[0] / self.resized[0], self.original[1] / self.resized[1]
        box = (left * along, top * down, (left + w) * along, (top + h) * down)
        seen = np.array(Image.fromarray(picture).resize((w, h), Image.Resampling.BILINEAR, box=box))
        return seen[:, ::-1] if self.flip else seen

    def nearest(self, values: NDArray[V]) -> NDArray[V]:
        """A mask or labels ``h w``: the value of the pixel whose square holds the centre."""
        rows, columns = (
            ((first + np.arange(count) + 0.5) * old / new).astype(np.int64)
            for first, count, old, new in zip(self.start, self.seen, self.original, self.resized, strict=True)
        )
        return values[rows[:, None], columns[::-1] if self.flip else columns]


def draw_view(
    rng: np.random.Generator, original: Size, side: int, resize: tuple[float, float] | None, flip: float
) -> View:
    """A view for a square input.

    resize: Range of the resized long side as a share of ``side``; None for all of the picture, the long side filled.
    flip: Probability of a mirrored one.
    """
    share = rng.uniform(*resize) if resize else 1.0
    scale = share * side / max(original)
    height, width = (max(1, int(n * scale + 0.5)) for n in original)
    seen = (min(height, side), min(width, side))
    start = (int(rng.integers(height - seen[0] + 1)), int(rng.integers(width - seen[1] + 1)))
    return View(original, (height, width), start, seen, bool(rng.random() < flip))


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The first and last column and row that the mask has, as x0 y0 x1 y1; the mask has a pixel."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def padded(x: Tensor, side: int) -> Tensor:
    """``… h w`` with zeros below and to the right, as ``… side side``."""
    return torch.nn.functional.pad(x, (0, side - x.shape[-1], 0, side - x.shape[-2]))
