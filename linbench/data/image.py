"""Read image files: as upright 8-bit RGB, or with the pixels as stored, on which datasets were annotated."""

import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from linbench.data.contract import BadSample
from linbench.data.listing import bad
from linbench.system.untrusted import MOST_PIXELS, one_line, open_file

#: Raster formats. Others that Pillow knows would start programs (EPS) or hold no image of their own (GRIB).
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
NOT_AN_IMAGE = f"not an image in a format that is read: {', '.join(FORMATS)}"

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(
    path: Path | str, most_pixels: int = MOST_PIXELS, *, upright: bool = True, content: bytes | None = None
) -> NDArray[np.uint8]:
    """Read an image file as ``h w 3``, 0 to 255, turned upright as its EXIF orientation says.

    Alpha is dropped, not blended with a background; palettes, grey, CMYK and YCbCr become RGB without a colour
    profile; of 16-bit values the upper 8 bits are kept; of an animation the first frame is read. A warning by Pillow
    about a readable file, as of a damaged EXIF block, is repeated with the file's name.

    most_pixels: A larger image, in px, is refused before it is decoded.
    upright: False leaves the pixels as they are stored, on which datasets such as COCO were annotated.
    content: The file's bytes where it lies inside another file, as in a tar; ``path`` is then for messages.
    Raises ValueError of one line that names the file where it cannot be read as an image.
    """
    try:
        with (
            warnings.catch_warnings(record=True, action="always") as noticed,
            open_file(path) if content is None else BytesIO(content) as stream,
            Image.open(stream, formats=FORMATS) as image,
        ):
            if image.width * image.height > most_pixels:
                raise ValueError(f"{image.width} x {image.height} px are more than the {most_pixels:,} px allowed")
            rgb = _rgb(image, upright)
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: {NOT_AN_IMAGE}") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: cannot be read as an image: {one_line(error)}") from error
    for warning in noticed:
        if not issubclass(warning.category, Image.DecompressionBombWarning):  # the bound here is ``most_pixels``
            warnings.warn(f"{path}: {warning.message}", stacklevel=2)
    return rgb


def stored_image(
    path: Path | str, size: tuple[int, int] | None = None, content: bytes | None = None
) -> NDArray[np.uint8]:
    """Read a sample's image ``h w 3`` without its EXIF turn; raises BadSample.

    size: Height and width in px that its annotation states; another size raises BadSample.
    content: The file's bytes, where they are at hand.
    """
    try:
        pixels = read_image(path, upright=False, content=content)
    except ValueError as error:
        raise BadSample(str(error)) from error
    if size is not None and pixels.shape[:2] != size:
        raise bad(path, f"{_px(pixels.shape[:2])}, but its annotation says {_px(size)}")
    return pixels


def stored_values(path: Path) -> NDArray[np.uint8]:
    """Read the values of a mask or label map as stored, ``h w`` or ``h w c``; raises BadSample.

    A palette image gives its indices, not its colours; bits become 0 and 1.
    """
    try:
        with open_file(path) as stream, Image.open(stream, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"{image.width} x {image.height} px are more than the {MOST_PIXELS:,} px allowed")
            return np.array(image)
    except UnidentifiedImageError as error:
        raise bad(path, NOT_AN_IMAGE) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise bad(path, f"cannot be read as a mask: {one_line(error)}") from error


def image_size(path: Path | str, content: bytes | None = None) -> tuple[int, int]:
    """Return an image's height and width in px from its first bytes; raises BadSample.

    content: The file's bytes, where they are at hand.
    """
    try:
        with (
            open_file(path) if content is None else BytesIO(content) as stream,
            Image.open(stream, formats=FORMATS) as image,
        ):
            return image.height, image.width
    except UnidentifiedImageError as error:
        raise bad(path, NOT_AN_IMAGE) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise bad(path, f"cannot be read as an image: {one_line(error)}") from error


def check_size(mask: Path, size: tuple[int, ...], image: Path) -> None:
    """Raise BadSample where a mask of that size (h, w) has another size than its image file."""
    expected = image_size(image)
    if tuple(size) != expected:
        raise bad(mask, f"a mask of {_px(size)} for {image.name} of {_px(expected)}")


def _px(size: tuple[int, ...]) -> str:
    return f"{size[1]} x {size[0]} px"


def _rgb(image: Image.Image, upright: bool) -> NDArray[np.uint8]:
    """Decode, and turn as EXIF says; ImageOps.exif_transpose fails where it cannot write the EXIF block anew."""
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1)) if upright else None
    image = _eight_bits(image)
    turned = image if turn is None else image.transpose(turn)
    return np.array(turned.convert("RGB"))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image of at most 8 bits a channel; raises ValueError where the range of its values is not known."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):  # 16-bit grey
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("the range of 32-bit values is not known; store it with 8 or 16 bits a channel")
    return image  # Pillow itself keeps the upper 8 bits of 16-bit colour
