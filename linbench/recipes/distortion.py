"""Photometric distortion of a picture (SSD, arXiv 1512.02325; the ranges are mmsegmentation's)."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BRIGHTNESS = 32.0  # is added, at most, of 255
CONTRAST = SATURATION = (0.5, 1.5)
HUE = 0.1  # of a turn, at most


def distorted(picture: NDArray[np.uint8], rng: np.random.Generator, probability: float) -> NDArray[np.uint8]:
    """The picture ``h w 3`` with another brightness, contrast, saturation and hue, each with that probability.

    Contrast comes second or last, as a coin falls. Values are rounded and clipped to 0 to 255 after each.
    """
    contrast_last = rng.random() < 0.5
    if rng.random() < probability:
        picture = _clipped(picture + rng.uniform(-BRIGHTNESS, BRIGHTNESS))
    if not contrast_last and rng.random() < probability:
        picture = _clipped(picture * rng.uniform(*CONTRAST))
    if rng.random() < probability:
        picture = _in_hsv(picture, 0.0, rng.uniform(*SATURATION))
    if rng.random() < probability:
        picture = _in_hsv(picture, rng.uniform(-HUE, HUE), 1.0)
    if contrast_last and rng.random() < probability:
        picture = _clipped(picture * rng.uniform(*CONTRAST))
    return picture


def _in_hsv(picture: NDArray[np.uint8], turn: float, factor: float) -> NDArray[np.uint8]:
    """The hue turned by a share of the circle, the saturation times a factor."""
    hue, saturation, value = np.moveaxis(np.asarray(Image.fromarray(picture).convert("HSV")), 2, 0)
    hue = (hue.astype(np.int64) + round(turn * 256)) % 256
    joined = np.stack([hue.astype(np.uint8), _clipped(saturation * factor), value], axis=2)
    return np.array(Image.fromarray(joined, "HSV").convert("RGB"))


def _clipped(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
