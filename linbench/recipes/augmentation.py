"""Augmentation of images with their masks and labels, random only in a generator or seed that the caller gives.

Large-scale jitter (arXiv 2012.07177) resizes an image at random, cuts a square out of it and pads the rest. The
image, its masks and their boxes go through one ``View``, so that they keep fitting each other. Photometric distortion
is SSD's (arXiv 1512.02325), with mmsegmentation's ranges. Sizes are ``(height, width)`` in px.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Size = tuple[int, int]
V = TypeVar("V", bound=np.generic)

MAX_BRIGHTNESS = 32.0  # added or subtracted, of 255
CONTRAST = SATURATION = (0.5, 1.5)
MAX_HUE = 0.1  # of a turn


@dataclass(frozen=True)
class View:
    """The part of an image that the model sees, at the upper left of its input.

    original: Size of the image.
    resized: Size that the whole image would have.
    start: First visible row and column of the resized image.
    seen: Height and width of the visible part.
    flip: Whether it is mirrored, left to right.
    """

    original: Size
    resized: Size
    start: Size
    seen: Size
    flip: bool

    def image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the visible part of an image ``h w 3``: bilinear, antialiased where it shrinks, as SAM resizes."""
        (top, left), (h, w) = self.start, self.seen
        y_scale, x_scale = self.original[0] / self.resized[0], self.original[1] / self.resized[1]
        box = (left * x_scale, top * y_scale, (left + w) * x_scale, (top + h) * y_scale)
        seen = np.array(Image.fromarray(image).resize((w, h), Image.Resampling.BILINEAR, box=box))
        return seen[:, ::-1] if self.flip else seen

    def nearest(self, values: NDArray[V]) -> NDArray[V]:
        """Return the visible part of a mask or labels ``h w``: the value of the pixel that holds the centre."""
        rows, columns = (
            ((first + np.arange(count) + 0.5) * old / new).astype(np.int64)
            for first, count, old, new in zip(self.start, self.seen, self.original, self.resized, strict=True)
        )
        return values[rows[:, None], columns[::-1] if self.flip else columns]


def draw_view(
    rng: np.random.Generator, original: Size, side: int, resize: tuple[float, float] | None, flip: float
) -> View:
    """Return a random view for a square input of ``side`` px.

    resize: Range of the resized long side as a fraction of ``side``; None to show the whole image, long side filled.
    flip: Probability of mirroring.
    """
    fraction = rng.uniform(*resize) if resize else 1.0
    scale = fraction * side / max(original)
    height, width = (max(1, int(n * scale + 0.5)) for n in original)
    start, seen = draw_crop(rng, (height, width), side)
    return View(original, (height, width), start, seen, bool(rng.random() < flip))


def draw_crop(rng: np.random.Generator, resized: Size, side: int) -> tuple[Size, Size]:
    """Return start and size of a random crop of at most ``side`` x ``side`` px."""
    seen = (min(resized[0], side), min(resized[1], side))
    start = (int(rng.integers(resized[0] - seen[0] + 1)), int(rng.integers(resized[1] - seen[1] + 1)))
    return start, seen


def mask_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return the first and last column and row of a mask that is not empty, as x0 y0 x1 y1, inclusive."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def pad_to_square(x: Tensor, side: int) -> Tensor:
    """Return ``… h w`` with zeros below and to the right, as ``… side side``."""
    return torch.nn.functional.pad(x, (0, side - x.shape[-1], 0, side - x.shape[-2]))


def distort(image: NDArray[np.uint8], rng: np.random.Generator, probability: float) -> NDArray[np.uint8]:
    """Change brightness, contrast, saturation and hue of an image ``h w 3``, each with that probability.

    Contrast comes second or last, with equal chances. Values are rounded and clipped to 0 to 255 after each change.
    """
    contrast_last = rng.random() < 0.5
    if rng.random() < probability:
        image = _clip(image + rng.uniform(-MAX_BRIGHTNESS, MAX_BRIGHTNESS))
    if not contrast_last and rng.random() < probability:
        image = _clip(image * rng.uniform(*CONTRAST))
    if rng.random() < probability:
        image = _change_hsv(image, 0.0, rng.uniform(*SATURATION))
    if rng.random() < probability:
        image = _change_hsv(image, rng.uniform(-MAX_HUE, MAX_HUE), 1.0)
    if contrast_last and rng.random() < probability:
        image = _clip(image * rng.uniform(*CONTRAST))
    return image


def _change_hsv(image: NDArray[np.uint8], turn: float, factor: float) -> NDArray[np.uint8]:
    """Turn the hue by a fraction of the circle, and multiply the saturation by a factor."""
    hue, saturation, value = np.moveaxis(np.asarray(Image.fromarray(image).convert("HSV")), 2, 0)
    hue = (hue.astype(np.int64) + round(turn * 256)) % 256
    changed = np.stack([hue.astype(np.uint8), _clip(saturation * factor), value], axis=2)
    return np.array(Image.fromarray(changed, "HSV").convert("RGB"))


def _clip(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, numpy and torch (on the CPU) inside the block; restore them after it."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would touch every device's generator
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
