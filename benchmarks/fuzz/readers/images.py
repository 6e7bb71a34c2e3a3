"""Images and masks in every format that is read, and bombs: few bytes that claim or hold many pixels."""

import io
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.fuzz import formats
from benchmarks.fuzz.contract import Files, Reader, value_error
from benchmarks.fuzz.guard import quiet
from benchmarks.fuzz.readers.annotations import only_file

SIZE = (24, 18)  # width and height


def saved(mode: str, kind: str, size: tuple[int, int] = SIZE, **options: Any) -> bytes:
    """An image of noise, or of black where it is large, as a file's bytes."""
    import numpy as np
    from PIL import Image

    w, h = size
    noise = np.random.default_rng(7).integers(0, 256, (h, w, 4), np.uint8)
    image = Image.fromarray(noise).convert(
        "RGB" if mode in ("CMYK", "P", "YCbCr") else "RGBA" if mode == "RGBA" else "L"
    )
    image = Image.fromarray(noise[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    stream = io.BytesIO()
    image.save(stream, format=kind, **options)
    return stream.getvalue()


def _images(scratch: Path) -> list[Files]:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = (
        *(("RGB", "JPEG", "jpg", {}), ("L", "JPEG", "jpg", {}), ("CMYK", "JPEG", "jpg", {})),
        *(("RGB", "JPEG", "jpg", {"progressive": True}), ("RGB", "JPEG", "jpg", {"exif": exif})),
        *(("RGB", "PNG", "png", {}), ("P", "PNG", "png", {}), ("I;16", "PNG", "png", {}), ("RGBA", "PNG", "png", {})),
        *(("1", "PNG", "png", {}), ("RGB", "PNG", "png", {"exif": exif})),
        *(("RGB", "TIFF", "tif", {}), ("RGB", "TIFF", "tif", {"compression": "tiff_lzw"})),
        *(("RGB", "TIFF", "tif", {"compression": "jpeg"}), ("I;16", "TIFF", "tif", {})),
        *(("1", "TIFF", "tif", {"compression": "group4"}), ("RGB", "TIFF", "tif", {"compression": "tiff_deflate"})),
        *(("RGB", "WEBP", "webp", {}), ("RGBA", "WEBP", "webp", {"lossless": True}), ("P", "GIF", "gif", {})),
        *(
            ("RGB", "BMP", "bmp", {}),
            ("P", "BMP", "bmp", {}),
            ("RGB", "PPM", "ppm", {}),
            ("RGB", "JPEG2000", "jp2", {}),
        ),
    )
    return [{f"image.{ending}": saved(mode, kind, **more)} for mode, kind, ending, more in kinds]


def _masks(scratch: Path) -> list[Files]:
    import numpy as np
    from PIL import Image

    square = np.zeros((18, 24), np.uint8)
    square[3:9, 4:12] = 1
    palette = Image.fromarray(square)
    palette.putpalette([0, 0, 0, 128, 0, 0])
    arrays = (
        square * 255,
        square,
        square.astype(np.uint16) * 65535,
        np.dstack([square * 255] * 3),
        square.astype(bool),
    )
    images = [*map(Image.fromarray, arrays), palette]
    inputs: list[Files] = []
    for kind, ending in (("PNG", "png"), ("BMP", "bmp"), ("TIFF", "tif")):
        for image in images:
            if kind == "BMP" and image.mode.startswith("I"):
                continue
            stream = io.BytesIO()
            image.save(stream, format=kind)
            inputs.append({f"mask.{ending}": stream.getvalue()})
    return inputs


@cache
def big_png(width: int, height: int, mode: int, depth: int = 8, *, white: bool = False) -> bytes:
    """A PNG of zeros, or one whose upper half is of the largest value: about a thousandth of its pixels' bytes."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[mode]
    length = (width * channels * depth + 7) // 8
    black, full = bytes(1 + length), b"\0" + b"\xff" * length
    packer = zlib.compressobj(9)
    rows = (full if white and 2 * row < height else black for row in range(height))
    data = b"".join([*(packer.compress(row) for row in rows), packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, depth, mode, 0, 0, 0)
    palette = [formats.chunk(b"PLTE", bytes(3) + b"\x80\0\0")] if mode == 3 else []
    parts = [formats.chunk(b"IHDR", header), *palette, formats.chunk(b"IDAT", data), formats.chunk(b"IEND", b"")]
    return formats.PNG + b"".join(parts)


def scans(width: int, height: int, times: int, channels: int = 1) -> bytes:
    """A progressive JPEG of few bytes whose many scans each pass over every block of its claimed size."""
    numbers = range(1, channels + 1)
    head = b"\xff\xd8" + b"\xff\xdb" + struct.pack(">HB", 67, 0) + bytes(range(1, 65))
    of_frame = b"".join(bytes([number, 0x11, 0]) for number in numbers)
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 8 + len(of_frame), 8, height, width, channels) + of_frame
    huffman = b"\xff\xc4" + struct.pack(">HB", 19 + 1, 0) + bytes([1] + [0] * 15) + b"\x00"
    huffman += b"\xff\xc4" + struct.pack(">HB", 19 + 1, 0x10) + bytes([1] + [0] * 15) + b"\xe0"
    of_scan = b"".join(bytes([number, 0]) for number in numbers)
    first = b"\xff\xda" + struct.pack(">HB", 6 + len(of_scan), channels) + of_scan + b"\x00\x00\x00" + bytes(8)
    later = b"\xff\xda" + struct.pack(">HB", 8, 1) + b"\x01\x00" + b"\x01\x3f\x00" + bytes(2)
    return head + frame + huffman + first + later * times + b"\xff\xd9"


def _bombs(scratch: Path) -> list[Files]:
    return list(_made())


@cache
def _made() -> tuple[Files, ...]:
    wide = (11585, 11585)  # just under 2^27 px
    pngs = [big_png(*wide, mode, depth) for mode, depth in ((2, 8), (0, 1), (0, 8), (3, 8))]
    pngs += [big_png(9000, 9000, 6), big_png(9000, 9000, 0, 16), big_png(8000, 8000, 2, 16), big_png(2**27, 1, 0)]
    pngs += [big_png(30_000, 30_000, 0, 1)]
    pngs += [big_png(*wide, 0, 8, white=True), big_png(*wide, 0, 16, white=True), big_png(*wide, 2, white=True)]
    jpegs = [
        scans(*wide, 0),
        scans(*wide, 60),
        scans(*wide, 90, 3),
        scans(4000, 4000, 20_000),
        scans(65_500, 2000, 10),
    ]
    jpegs += [scans(8900, 8900, 20, 3), scans(8900, 8900, 99, 3)]
    inputs: list[Files] = [{"image.png": png} for png in pngs] + [{"image.jpg": jpeg} for jpeg in jpegs]
    for kind, ending, options in (
        ("JPEG", "jpg", {"quality": 10}),
        ("JPEG", "jpg", {"quality": 10, "progressive": True}),
        ("TIFF", "tif", {"compression": "tiff_deflate"}),
        ("TIFF", "tif", {"compression": "group4"}),
        ("GIF", "gif", {}),
        ("WEBP", "webp", {"lossless": True, "method": 0}),
        ("JPEG2000", "jp2", {}),
    ):
        inputs.append({f"image.{ending}": _black(kind, options)})
    return tuple(
        files for files in inputs if all(isinstance(body, bytes) and len(body) < 2**20 for body in files.values())
    )


def _black(kind: str, options: dict[str, Any]) -> bytes:
    from PIL import Image

    mode = "1" if options.get("compression") == "group4" else "RGB" if kind in ("WEBP", "JPEG2000") else "L"
    size = {"WEBP": (8000, 6000), "JPEG2000": (7000, 7000)}.get(kind, (11585, 11585))
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, format=kind, **options)
    return stream.getvalue()


def _read_upright(folder: Path) -> int:
    """As predict does, upright; and as datasets do, with values as stored."""
    from linbench.data.image import read_image

    upright = quiet(lambda: read_image(only_file(folder)))
    assert upright.ndim == 3
    assert upright.shape[2] == 3
    return 0


def _read_stored(folder: Path) -> int:
    from linbench.data.image import image_size, stored_values

    result = quiet(lambda: stored_values(only_file(folder)))
    assert image_size(only_file(folder)) == result.shape[:2]
    return 0


def _read_sample(folder: Path) -> int:
    from linbench.data.image import stored_image

    assert quiet(lambda: stored_image(only_file(folder))).shape[2] == 3
    return 0


def _read_mask(folder: Path) -> int:
    from linbench.data.ground_truth import read_mask

    result = quiet(lambda: read_mask(only_file(folder)))
    assert result.ndim == 2
    assert result.dtype == bool
    return 0


def _read_objects(folder: Path) -> int:
    from linbench.data.object_masks import read_objects

    objects = quiet(lambda: read_objects(only_file(folder)))
    assert objects.values.ndim == 2
    for index in range(min(2, len(objects.names))):
        assert objects.mask(index).any()
    return 0


def _bad_sample() -> tuple[type[BaseException], ...]:
    from linbench.data.contract import BadSample

    return (BadSample,)


READERS = (
    Reader("image", _images, _read_upright, value_error, weight=14, hostile=_bombs, every=25),
    Reader("image-stored", _images, _read_stored, _bad_sample, weight=6, hostile=_bombs, every=25),
    Reader("image-sample", _images, _read_sample, _bad_sample, weight=4, hostile=_bombs, every=25),
    Reader("mask", _masks, _read_mask, _bad_sample, weight=10, hostile=_bombs, every=25),
    Reader("mask-objects", _masks, _read_objects, _bad_sample, weight=6, hostile=_bombs, every=25),
)
