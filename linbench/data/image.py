"""Reading a picture of whatever kind as 8-bit RGB."""

import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from linbench.data.listing import one_line, open_file

#: Largest picture that is read, in px: 400 MB as RGB. A small file can claim any size.
MOST_PIXELS = 2**27
#: Raster formats. Others that Pillow knows would start programs (EPS) or hold no picture of their own (GRIB).
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")

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
    """The picture in a file as ``h w 3``, 0 to 255, upright as its EXIF orientation says; of an animation the first.

    Alpha is dropped, not blended with a background, and palettes, grey, CMYK and YCbCr become RGB without a colour
    profile. Of 16-bit values the upper 8 bits are kept.
    most_pixels: Above it, in px, a picture is refused before it is decoded.
    upright: False leaves the pixels as they are stored, on which data sets such as COCO were annotated.
    content: The file's bytes where it lies inside another file, as in a tar; ``path`` is then for messages.
    Raises ValueError of one line that names the file where it cannot be read as a picture. What Pillow warns of in a
    file that it reads, as of a damaged EXIF block, is warned of with the file's name.
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
        raise ValueError(f"{path}: not a picture in a format that is read: {', '.join(FORMATS)}") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: cannot be read as a picture: {one_line(error)}") from error
    for warning in noticed:
        if not issubclass(warning.category, Image.DecompressionBombWarning):  # the bound here is ``most_pixels``
            warnings.warn(f"{path}: {warning.message}", stacklevel=2)
    return rgb


def _rgb(image: Image.Image, upright: bool) -> NDArray[np.uint8]:
    """Decode, and turn as EXIF says. ImageOps.exif_transpose would fail where it cannot write the EXIF block anew."""
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1)) if upright else None
    image = _eight_bits(image)
    turned = image if turn is None else image.transpose(turn)
    return np.array(turned.convert("RGB"))


def _eight_bits(image: Image.Image) -> Image.Image:
    """An image of at most 8 bits a channel; raises ValueError where the range of its values is not known."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):  # 16-bit grey
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("the range of 32-bit values is not known; store it with 8 or 16 bits a channel")
    return image  # Pillow itself keeps the upper 8 bits of 16-bit colour
