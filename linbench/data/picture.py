"""Pictures and masks of samples with their pixels as stored: annotations were made on pixels that nobody turned."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linbench.data.contract import BadSample
from linbench.data.image import opened_image, pixels, read_image
from linbench.data.listing import bad


def picture(path: Path | str, size: tuple[int, int] | None = None, content: bytes | None = None) -> NDArray[np.uint8]:
    """The picture ``h w 3`` without its EXIF turn; raises BadSample, also where it has another ``size`` (h, w).

    content: The file's bytes, where they are at hand.
    """
    try:
        found = read_image(path, upright=False, content=content)
    except ValueError as error:
        raise BadSample(str(error)) from error
    if size is not None and found.shape[:2] != size:
        raise bad(path, f"{_px(found.shape[:2])}, but its annotation says {_px(size)}")
    return found


def stored(path: Path) -> NDArray[np.uint8]:
    """The values of a mask or label map as stored, ``h w`` or ``h w c``; raises BadSample.

    Of a palette picture the numbers are given, not the colours; bits become 0 and 1.
    """
    try:
        with opened_image(path, "a mask") as image:
            return pixels(image)
    except ValueError as error:
        raise BadSample(str(error)) from error


def size_of(path: Path | str, content: bytes | None = None) -> tuple[int, int]:
    """Height and width of a picture, px, from its first bytes; raises BadSample.

    content: The file's bytes, where they are at hand.
    """
    try:
        with opened_image(path, content=content) as image:
            return image.height, image.width
    except ValueError as error:
        raise BadSample(str(error)) from error


def same_size(mask: Path, found: tuple[int, ...], image: Path) -> None:
    """Raise BadSample where a mask of the size ``found`` (h, w) has another size than its picture."""
    size = size_of(image)
    if tuple(found) != size:
        raise bad(mask, f"a mask of {_px(found)} for {image.name} of {_px(size)}")


def _px(size: tuple[int, ...]) -> str:
    return f"{size[1]} x {size[0]} px"
