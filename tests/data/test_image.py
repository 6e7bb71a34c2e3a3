"""Images of every kind, drawn and written here, become 8-bit RGB; what is none is refused in one line."""

import re
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from benchmarks.fuzz.guard import Memory
from benchmarks.fuzz.readers.images import big_png, scans
from linbench.data import image as image_module
from linbench.data.image import FORMATS, MOST_BYTES, decoding_bytes, opened_image, read_image, stored_values

RAMP = np.arange(35, dtype=np.uint8).reshape(5, 7) * 7  # 0 to 238, h 5, w 7
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=2)


def save_image(path, image, **options):
    image.save(path, **options)
    return path


def png16(path, values):
    """Write ``h w c`` of 16 bits as a PNG, which Pillow cannot do for colour."""
    h, w, c = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", w, h, 16, {1: 0, 3: 2}[c], 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "ppm", "webp"])
def test_colours_are_kept_as_they_are(tmp_path, ending):
    options = {"lossless": True} if ending == "webp" else {}
    result = read_image(save_image(tmp_path / f"a.{ending}", Image.fromarray(COLOURS), **options))
    assert result.dtype == np.uint8
    assert result.flags.writeable
    np.testing.assert_array_equal(result, COLOURS)


def test_jpeg_and_jpeg_2000_are_read_to_within_their_loss(tmp_path):
    smooth = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[:, None, None], 3, axis=2).repeat(48, axis=1)
    for ending in ("jpg", "jp2"):
        result = read_image(save_image(tmp_path / f"a.{ending}", Image.fromarray(smooth)))
        assert result.shape == (64, 48, 3)
        assert np.abs(result.astype(int) - smooth).max() <= 3


def test_grey_becomes_three_equal_channels(tmp_path):
    result = read_image(save_image(tmp_path / "a.png", Image.fromarray(RAMP)))
    np.testing.assert_array_equal(result, np.repeat(RAMP[:, :, None], 3, axis=2))


def test_a_bitmap_of_one_bit_becomes_black_and_white(tmp_path):
    result = read_image(save_image(tmp_path / "a.png", Image.fromarray(RAMP > 100)))
    np.testing.assert_array_equal(result[:, :, 0], np.where(RAMP > 100, 255, 0))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_dropped_and_nothing_blended(tmp_path, mode):
    image = Image.fromarray(COLOURS if mode == "RGBA" else RAMP)
    opaque = read_image(save_image(tmp_path / "opaque.png", image))
    image.putalpha(Image.fromarray(RAMP))
    np.testing.assert_array_equal(read_image(save_image(tmp_path / "a.png", image)), opaque)


def test_a_palette_is_looked_up(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [1, 2]], np.uint8), mode="L")
    image.putpalette([255, 0, 0, 0, 255, 0, 1, 2, 3])
    result = read_image(save_image(tmp_path / "a.png", image, transparency=1))
    assert result.tolist() == [[[255, 0, 0], [0, 255, 0]], [[0, 255, 0], [1, 2, 3]]]


@pytest.mark.parametrize("ending", ["tiff", "jpg"])
def test_cmyk_becomes_the_colours_it_prints(tmp_path, ending):
    inks = np.zeros((16, 32, 4), np.uint8)
    inks[:, :16, 0] = 255  # cyan; the rest is paper
    result = read_image(save_image(tmp_path / f"a.{ending}", Image.fromarray(inks, mode="CMYK")))
    np.testing.assert_allclose(result[8, 4], [0, 255, 255], atol=3)
    np.testing.assert_allclose(result[8, 28], [255, 255, 255], atol=3)


@pytest.mark.parametrize("ending", ["png", "tiff", "pgm"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, ending):
    deep = RAMP.astype(np.uint16) * 257
    result = read_image(save_image(tmp_path / f"a.{ending}", Image.fromarray(deep)))
    np.testing.assert_array_equal(result, np.repeat(RAMP[:, :, None], 3, axis=2))


def test_sixteen_bits_of_grey_and_of_colour_are_scaled_alike(tmp_path):
    deep = np.linspace(0, 2**16 - 1, 35).astype(np.uint16).reshape(5, 7, 1)
    grey, colour = png16(tmp_path / "grey.png", deep), png16(tmp_path / "colour.png", deep.repeat(3, axis=2))
    np.testing.assert_array_equal(read_image(grey), read_image(colour))
    assert (read_image(grey).min(), read_image(grey).max()) == (0, 255)


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, COLOURS),
        (2, COLOURS[:, ::-1]),
        (3, COLOURS[::-1, ::-1]),
        (4, COLOURS[::-1]),
        (5, COLOURS.transpose(1, 0, 2)),
        (6, np.rot90(COLOURS, 1)),
        (7, COLOURS[::-1, ::-1].transpose(1, 0, 2)),
        (8, np.rot90(COLOURS, -1)),
    ],
)
def test_every_exif_orientation_is_read_upright(tmp_path, orientation, stored):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored))
    result = read_image(save_image(tmp_path / "a.png", image, exif=exif))
    np.testing.assert_array_equal(result, COLOURS)


def test_a_deep_image_is_turned_as_well(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    result = read_image(save_image(tmp_path / "a.png", Image.fromarray(RAMP.astype(np.uint16) * 257), exif=exif))
    np.testing.assert_array_equal(result[:, :, 0], RAMP[::-1, ::-1])


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1)])
def test_a_strip_one_pixel_wide_is_read(tmp_path, shape):
    assert read_image(save_image(tmp_path / "a.png", Image.new("RGB", shape[::-1]))).shape == (*shape, 3)


def refusal(path, **options):
    """The one line of the refusal, which names the file."""
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: ") as caught:
        read_image(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


@pytest.mark.parametrize("ending", ["png", "jpg", "tiff", "webp", "bmp", "gif", "jp2"])
@pytest.mark.parametrize("fraction", [0, 0.02, 0.5, 0.9])
def test_a_truncated_file_is_refused_in_one_line(tmp_path, ending, fraction):
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    path = save_image(tmp_path / f"a.{ending}", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[: int(fraction * path.stat().st_size)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refusal(path)


def test_a_png_whose_chunk_ends_early_is_refused_in_one_line(tmp_path):
    path = save_image(tmp_path / "a.png", Image.fromarray(COLOURS))
    data = bytearray(path.read_bytes())
    start = data.index(b"IDAT") - 4
    data[start : start + 4] = struct.pack(">I", struct.unpack_from(">I", data, start)[0] - 20)
    path.write_bytes(data)
    assert refusal(path).startswith("cannot be read as an image: broken PNG file")


@pytest.mark.parametrize("content", [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_a_file_without_an_image_is_refused_with_what_is_read(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    assert refusal(path) == f"not an image in a format that is read: {', '.join(FORMATS)}"


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert refusal(tmp_path / "absent.png") == "cannot be read as an image: No such file or directory"
    assert refusal(tmp_path) == "cannot be read as an image: it is a folder; name the files in it"


def test_an_image_above_the_bound_is_refused_and_one_at_it_is_read(tmp_path):
    path = save_image(tmp_path / "a.png", Image.fromarray(COLOURS))
    assert refusal(path, most_pixels=34) == "cannot be read as an image: 7 x 5 px are more than the 34 px allowed"
    assert read_image(path, most_pixels=35).shape == (5, 7, 3)


@pytest.mark.parametrize("side", [12_000, 20_000])
def test_a_small_file_that_claims_a_huge_image_is_refused_before_it_is_decoded(tmp_path, side):
    """Below Pillow's own bound, where it warns, and above it, where it raises."""
    path = png16(tmp_path / "a.png", RAMP[:, :, None].astype(np.uint16))
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "px" in refusal(path) or "pixels" in refusal(path)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_values_of_unknown_range_are_refused_and_not_guessed(tmp_path, dtype):
    path = save_image(tmp_path / "a.tiff", Image.fromarray(RAMP.astype(dtype)))
    assert "the range of 32-bit values is not known" in refusal(path)


def test_a_damaged_exif_block_is_warned_of_with_the_files_name(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "somebody's camera"
    path = save_image(tmp_path / "a.jpg", Image.fromarray(COLOURS), exif=exif)
    data = path.read_bytes()
    start = data.index(b"MM\0*") if b"MM\0*" in data else data.index(b"II*\0")
    path.write_bytes(data[: start + 8] + b"\xff" * 6 + data[start + 14 :])
    with pytest.warns(UserWarning, match=rf"^{re.escape(str(path))}: "):
        assert read_image(path).shape == (5, 7, 3)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "I;16", "1", "RGBA"])
def test_strips_of_any_height_give_the_same_image(tmp_path, monkeypatch, mode):
    deep = Image.fromarray(RAMP.astype(np.uint16) * 257)
    source = deep if mode == "I;16" else Image.fromarray(COLOURS).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 8
    path = save_image(tmp_path / "a.png", source, exif=exif)
    whole, kept = read_image(path), stored_values(path)
    for strip in (1, 14, 20):
        monkeypatch.setattr(image_module, "STRIP", strip)
        np.testing.assert_array_equal(read_image(path), whole)
        np.testing.assert_array_equal(stored_values(path), kept)
    np.testing.assert_array_equal(kept, np.asarray(source))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"progressive": True, "subsampling": 0}),
        ("JPEG", {"progressive": True, "subsampling": 2}),
        ("WEBP", {"lossless": True, "method": 0}),
        ("WEBP", {"method": 0}),
        ("JPEG2000", {}),
        ("TIFF", {"compression": "tiff_deflate", "strip_size": 2**30}),
    ],
)
def test_decoding_takes_no_more_memory_than_it_was_judged_by(tmp_path, kind, options):
    path = tmp_path / "a"
    Image.new("RGB", (2048, 2048)).save(path, format=kind, **options)
    with opened_image(path) as image:
        judged = decoding_bytes(image)
    memory = Memory()
    read_image(path)
    assert memory.close() * 2**20 < judged + 2**24  # and a few strips


def test_an_image_whose_decoding_would_take_too_much_memory_is_refused_undecoded(tmp_path, monkeypatch):
    assert MOST_BYTES >= 2**27 * (4 + 3)  # the largest image without a costly decoder is still read
    monkeypatch.setattr(image_module, "MOST_BYTES", 35 * 12)
    for kind, refused in (("PNG", False), ("WEBP", True), ("JPEG2000", True), ("TIFF", True), ("JPEG", False)):
        path = save_image(tmp_path / f"a.{kind.lower()}", Image.fromarray(COLOURS), format=kind)
        if refused:
            assert f"7 x 5 px of this {kind} takes" in refusal(path)
        else:
            read_image(path)
    assert "of this JPEG takes 455 bytes" in refusal(
        save_image(tmp_path / "p.jpg", Image.fromarray(COLOURS), progressive=True, subsampling=0)
    )


def test_a_progressive_jpeg_of_thousands_of_scans_is_refused_before_it_takes_seconds(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(scans(4000, 4000, 2000))
    assert refusal(path) == "cannot be read as an image: it has 2001 scans; at most 100 are decoded"
    path.write_bytes(scans(40, 40, 20))
    assert read_image(path).shape == (40, 40, 3)


def test_a_side_that_no_image_has_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(big_png(2**20, 1, 0))
    assert refusal(path) == "cannot be read as an image: 1048576 x 1 px: a side has at most 65,535 px"
