"""Read masks as datasets store them: 0 and 1, 0 and 255, a palette, or soft grey; others are refused with a reason.

Published evaluations threshold at 128 whatever the file holds: they read a mask of 0 and 1 as empty, and score 0.04
without an error. Here the values decide how the file is read. A soft grey mask has blended edges; its pixels above
128 are the object, as in those evaluations.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linbench.data.contract import BadSample, as_bad_sample
from linbench.data.image import STRIP, image_values, opened_image

THRESHOLD = 128  # of soft grey: above it is the object
DARK, BRIGHT = 5, 250  # grey values up to DARK are 0 after JPEG compression, and those from BRIGHT on are 255
MOST_SOFT = 0.25  # fraction of pixels in between; the softest masks of hair have 0.1, photographs 0.8 and more
MOST_FLAT = 0.5  # fraction of these that equal their neighbours: areas of one grey are labels, not blended edges
LOOKED_UP = ("P", "CMYK", "YCbCr")  # modes whose values are converted to colours
FEW = 32  # pixels in between that prove nothing
_EIGHT_BITS = ((np.arange(2**16) + 128) // 257).astype(np.uint8)  # of 16: 65535 becomes 255

Mask = NDArray[np.bool_]
Grey = NDArray[np.uint8]


def read_mask(path: Path | str) -> Mask:
    """Read the mask in an image file, ``h w``; raises BadSample of one line that names the file."""
    return read_grey(path) > THRESHOLD


def read_grey(path: Path | str) -> Grey:
    """Read a mask's grey values, ``h w`` from 0 to 255, of which those above THRESHOLD are the object.

    0 and 1 become 0 and 255, soft edges stay as they are stored. Raises BadSample as ``read_mask`` does.
    """
    return grey(_values(path), path)


def _values(path: Path | str) -> NDArray[Any]:
    """Return the grey values or colours of a file; the indices of a palette become its colours."""
    with as_bad_sample(), opened_image(path, "a mask") as image:
        return image_values(image, "RGB" if image.mode in LOOKED_UP else None)


def binary(values: NDArray[Any], file: Path | str) -> Mask:
    """Convert stored values to a mask ``h w``; raises BadSample as ``grey`` does."""
    return grey(values, file) > THRESHOLD


def grey(values: NDArray[Any], file: Path | str) -> Grey:
    """Convert stored values to a mask's grey values, as ``read_grey`` gives them.

    Raises BadSample, which names the file, for what is not clearly a mask.

    values: ``h w`` grey values or labels, of truth values or whole numbers, 8 or 16 bits; or ``h w c`` colours, of
        which black is the background and one other the object; a fourth or second channel is alpha.
    """
    if values.ndim == 3:
        values = _one_channel(values, file)
    if values.ndim != 2 or not values.size:
        raise BadSample(f"{file}: a mask is h w or h w c, got {values.shape}")
    if values.dtype == np.bool_:
        return _black_and_white(values)
    if values.dtype.kind not in "iu":
        raise BadSample(f"{file}: a mask holds whole numbers, got {values.dtype}")
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise BadSample(f"{file}: a mask holds 0/1, 0/255 or 0/65535, got {low} to {high}")
    if high <= 1:
        return _black_and_white(values == 1)
    if high > 255:
        values = _EIGHT_BITS[values]
        high = int(values.max())
    return _checked(values, high, file)


def _black_and_white(mask: Mask) -> Grey:
    values = mask.astype(np.uint8)  # in place: a large mask takes one array
    values *= 255
    return values


def _checked(values: NDArray[Any], high: int, file: Path | str) -> Grey:
    """Return the grey values; raises BadSample unless they are a mask's.

    high: The largest of them.
    """
    step = max(1, STRIP // values.shape[1])  # rows: bincount makes 64-bit numbers of all that it counts
    strips = (values[top : top + step] for top in range(0, values.shape[0], step))
    levels = np.flatnonzero(sum(np.bincount(strip.ravel(), minlength=256) for strip in strips))
    if high < BRIGHT:
        raise BadSample(
            f"{file}: a mask reaches 1 or 255; its highest value is {high} ({_listed(levels)}): if these are labels "
            "of objects, write the one that is meant as 255"
        )
    if 1 in levels and np.isin(levels, (0, 1, 255)).all():
        raise BadSample(f"{file}: it holds 1 and 255: is it 0/1 with 255 for unknown, or 0/255? Store 0/255 alone")
    between = (values > DARK) & (values < BRIGHT)
    soft = int(np.count_nonzero(between))
    if soft > max(FEW, MOST_SOFT * values.size):
        fraction = soft / values.size
        raise BadSample(
            f"{file}: {fraction:.0%} of its pixels are neither dark nor bright: it looks like an image, not a mask"
        )
    flat = np.count_nonzero(
        between[:-1, :-1] & (values[:-1, :-1] == values[1:, :-1]) & (values[:-1, :-1] == values[:-1, 1:])
    )
    if soft > FEW and flat > MOST_FLAT * soft:
        greys = levels[(levels > DARK) & (levels < BRIGHT)]
        raise BadSample(
            f"{file}: it has areas of the grey values {_listed(greys)}: labels of several objects, or a trimap? A "
            "mask holds one object, in 255"
        )
    return values.astype(np.uint8)


def _one_channel(values: NDArray[Any], file: Path | str) -> NDArray[Any]:
    """Return the grey values of colours: as stored where they are grey, else 0 for black and 1 for the other."""
    if values.shape[2] in (2, 4):
        if values.size and values[..., -1].min() != values[..., -1].max():
            raise BadSample(f"{file}: its alpha channel varies: is that the mask? Store the mask alone, in 0/255")
        values = values[..., :-1]
    if values.shape[2] not in (1, 3):
        raise BadSample(f"{file}: a mask has one channel, or colours in three, got {values.shape[2]}")
    channels = [values[..., index] for index in range(values.shape[2])]  # one at a time: the inner loop is long
    if all(np.array_equal(channels[0], other) for other in channels[1:]):
        return np.ascontiguousarray(channels[0])
    coloured = channels[0] != 0
    for channel in channels[1:]:
        coloured |= channel != 0
    first = np.unravel_index(int(coloured.argmax()), coloured.shape)
    if not all(((channel == channel[first]) | ~coloured).all() for channel in channels):
        raise BadSample(
            f"{file}: it has several colours: labels of several objects? A mask holds black and one other"
        )
    return coloured


def _listed(values: NDArray[Any]) -> str:
    return ", ".join(str(v) for v in values[:6].tolist()) + (", …" if values.size > 6 else "")
