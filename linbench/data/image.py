"""Read image files: as upright 8-bit RGB, or with the pixels as stored, on which datasets were annotated."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from linbench.data.contract import as_bad_sample
from linbench.data.listing import bad
from linbench.system.untrusted import MOST_PIXELS, one_line, open_file

#: Longest side, px.
MOST_SIDE = 2**16 - 1
#: Memory that decoding may take, with the array that is returned, bytes.
MOST_BYTES = 2**30
#: Scans of a progressive JPEG: each passes over all pixels. Encoders write about ten.
MOST_SCANS = 100
#: Raster formats. Others that Pillow knows would start programs (EPS) or hold no image of their own (GRIB).
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
#: Bytes that a decoder needs per pixel and channel beside Pillow's image, as measured; other decoders keep rows only.
DECODER_BYTES = {"JPEG2000": 4, "TIFF": 2, "WEBP": 5}
STRIP = 2**20  # px that are converted at a time
NOT_AN_IMAGE = f"not an image in a format that is read: {', '.join(FORMATS)}"

#: The upright array as the stored image lies in it, by EXIF's orientation.
_STORED: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
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
    with (
        warnings.catch_warnings(record=True, action="always") as noticed,
        opened_image(path, most_pixels=most_pixels, content=content) as image,
    ):
        rgb = _rgb(image, upright)
    for warning in noticed:
        if not issubclass(warning.category, Image.DecompressionBombWarning):  # the bounds here are our own
            warnings.warn(f"{path}: {warning.message}", stacklevel=2)
    return rgb


@contextmanager
def opened_image(
    path: Path | str, what: str = "an image", *, most_pixels: int = MOST_PIXELS, content: bytes | None = None
) -> Iterator[Image.Image]:
    """Yield the image in a file before it is decoded; refuse one that takes more than MOST_BYTES or MOST_SCANS.

    what: Its name in errors.
    content: The file's bytes, where they are at hand; ``path`` is then for messages.
    Raises ValueError of one line that names the file, also for what fails until the block ends.
    """
    try:
        with (
            open_file(path) if content is None else BytesIO(content) as stream,
            Image.open(stream, formats=FORMATS) as image,
        ):
            if image.width * image.height > most_pixels:
                raise ValueError(f"{image.width} x {image.height} px are more than the {most_pixels:,} px allowed")
            if max(image.size) > MOST_SIDE:
                raise ValueError(f"{image.width} x {image.height} px: a side has at most {MOST_SIDE:,} px")
            if (cost := decoding_bytes(image)) > MOST_BYTES:
                raise ValueError(
                    f"decoding {image.width} x {image.height} px of this {image.format} takes {cost:,} bytes of "
                    f"memory; at most {MOST_BYTES:,} are taken"
                )
            if (scans := _scans(image, stream)) > MOST_SCANS:
                raise ValueError(f"it has {scans} scans; at most {MOST_SCANS} are decoded")
            yield image
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: {NOT_AN_IMAGE}") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: cannot be read as {what}: {one_line(error)}") from error


def image_values(image: Image.Image, mode: str | None = None) -> NDArray[Any]:
    """Return an image's values, ``h w`` or ``h w c``, read in strips: Pillow itself would hold them twice.

    mode: Pillow's mode that they are converted to first.
    """
    values: NDArray[Any] | None = None
    for rows, strip in _strips(image):
        part = np.asarray(strip.convert(mode) if mode else strip)
        if values is None:
            values = np.empty((image.height, *part.shape[1:]), part.dtype)
        values[rows] = part
    assert values is not None  # an image has a row
    return values


def decoding_bytes(image: Image.Image) -> int:
    """Return the bytes that decoding takes: Pillow's image, the decoder's own and the array."""
    kept = 1 if image.mode in ("1", "L", "P") else 2 if image.mode.startswith("I;16") else 4
    channels = len(image.getbands())
    decoder = channels * DECODER_BYTES.get(image.format or "", 0)
    if _progressive(image):  # all coefficients of all components, of 2 bytes each
        samples = [across * down for _, across, down, _ in getattr(image, "layer", ())]
        decoder = -(-2 * sum(samples) // max(samples, default=1))
    return image.width * image.height * (kept + decoder + max(3, channels))


def _progressive(image: Image.Image) -> bool:
    return image.format == "JPEG" and "progressive" in image.info


def _scans(image: Image.Image, stream: BinaryIO) -> int:
    """Return the scans of a progressive JPEG, 0 of anything else: compressed data never hold their marker."""
    if not _progressive(image):
        return 0
    position = stream.tell()
    stream.seek(0)
    count = stream.read().count(b"\xff\xda")
    stream.seek(position)
    return count


def stored_image(
    path: Path | str, size: tuple[int, int] | None = None, content: bytes | None = None
) -> NDArray[np.uint8]:
    """Read a sample's image ``h w 3`` without its EXIF turn; raises BadSample.

    size: Height and width in px that its annotation states; another size raises BadSample.
    content: The file's bytes, where they are at hand.
    """
    with as_bad_sample():
        pixels = read_image(path, upright=False, content=content)
    if size is not None and pixels.shape[:2] != size:
        raise bad(path, f"{_px(pixels.shape[:2])}, but its annotation says {_px(size)}")
    return pixels


def stored_values(path: Path) -> NDArray[np.uint8]:
    """Read the values of a mask or label map as stored, ``h w`` or ``h w c``; raises BadSample.

    A palette image gives its indices, not its colours; bits become 0 and 1.
    """
    with as_bad_sample(), opened_image(path, "a mask") as image:
        return image_values(image)


def image_size(path: Path | str, content: bytes | None = None) -> tuple[int, int]:
    """Return an image's height and width in px from its first bytes; raises BadSample.

    content: The file's bytes, where they are at hand.
    """
    with as_bad_sample(), opened_image(path, content=content) as image:
        return image.height, image.width


def check_size(mask: Path, size: tuple[int, ...], image: Path) -> None:
    """Raise BadSample where a mask of that size (h, w) has another size than its image file."""
    expected = image_size(image)
    if tuple(size) != expected:
        raise bad(mask, f"a mask of {_px(size)} for {image.name} of {_px(expected)}")


def _px(size: tuple[int, ...]) -> str:
    return f"{size[1]} x {size[0]} px"


def _rgb(image: Image.Image, upright: bool) -> NDArray[np.uint8]:
    """Decode, and turn as EXIF says; ImageOps.exif_transpose fails where it cannot write the EXIF block anew."""
    stored = _STORED.get(image.getexif().get(ExifTags.Base.Orientation, 1)) if upright else None
    if image.mode in ("I", "F") and not (image.mode == "I" and image.format in ("PNG", "PPM")):
        raise ValueError("the range of 32-bit values is not known; store it with 8 or 16 bits a channel")
    # 16-bit grey, of which Pillow would keep the lower 8 bits; of 16-bit colour it keeps the upper ones
    deep = image.mode.startswith("I")
    turned = np.empty((image.height, image.width, 3), np.uint8)
    if stored is not None:
        w, h = image.size
        turned = turned.reshape((w, h, 3)) if stored(turned).shape[:2] != (h, w) else turned
    view = turned if stored is None else stored(turned)
    for rows, strip in _strips(image):
        part = Image.fromarray((np.asarray(strip) >> 8).astype(np.uint8)) if deep else strip
        view[rows] = np.asarray(part.convert("RGB"))
    return turned


def _strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Yield the rows of an image, about STRIP pixels at a time."""
    step = max(1, STRIP // image.width)
    for top in range(0, image.height, step):
        rows = slice(top, min(top + step, image.height))
        yield rows, image.crop((0, rows.start, image.width, rows.stop))
