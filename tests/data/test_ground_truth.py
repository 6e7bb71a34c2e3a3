"""Masks in every form that data sets store them in: recognised, or refused with a sentence."""

import numpy as np
import pytest
from PIL import Image

from benchmarks.fuzz.guard import Memory
from benchmarks.fuzz.readers.images import big_png
from linbench.data.contract import BadSample
from linbench.data.ground_truth import binary, read_grey, read_mask
from tests.goldens import golden
from tests.realdata import realdata


@pytest.fixture
def disc():
    y, x = np.mgrid[:80, :100]
    return np.hypot(y - 40, x - 50) < 25


def soft(disc, steps=10):
    """The disc with an edge that is blended over some pixels."""
    y, x = np.mgrid[:80, :100]
    return (255 * np.clip(0.5 + (24.5 - np.hypot(y - 40, x - 50)) / steps, 0, 1)).astype(np.uint8)


@pytest.mark.parametrize("stored", [np.bool_, np.uint8, np.int64, np.uint16])
def test_0_and_1_are_a_mask(disc, stored):
    assert np.array_equal(binary(disc.astype(stored), "a.png"), disc)


@pytest.mark.parametrize(("stored", "most"), [(np.uint8, 255), (np.int32, 255), (np.uint16, 65535)])
def test_0_and_the_most_are_a_mask(disc, stored, most):
    assert np.array_equal(binary(disc.astype(stored) * stored(most), "a.png"), disc)


@pytest.mark.parametrize("steps", [2, 6, 12])
def test_soft_grey_is_cut_at_128_as_in_the_published_evaluations(disc, steps):
    grey = soft(disc, steps)
    assert np.array_equal(binary(grey, "a.png"), grey > 128)


def test_128_itself_is_background(disc):
    grey = disc.astype(np.uint8) * 255
    grey[40, 50], grey[0, 0], grey[1, 1] = 128, 128, 129
    result = binary(grey, "a.png")
    assert (result[40, 50], result[0, 0], result[1, 1]) == (False, False, True)


def test_what_jpeg_makes_of_a_mask_is_the_mask(disc, tmp_path):
    Image.fromarray(disc.astype(np.uint8) * 255).save(tmp_path / "a.jpg", quality=90)
    assert (read_mask(tmp_path / "a.jpg") != disc).mean() < 0.005


def test_every_soft_or_hard_ground_truth_of_the_published_cases_is_recognised():
    arrays = golden("boundary_iou")[1]
    for k in range(19):
        grey = arrays[f"in_gt_{k:02d}"]
        assert np.array_equal(binary(grey, "a.png"), grey > 128)


@pytest.mark.parametrize("value", [0, 1, 255])
def test_one_value_everywhere_is_nothing_or_everything(value):
    assert (binary(np.full((5, 5), value, np.uint8), "a.png") == bool(value)).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 38), "its highest value is 38"),  # a palette's red as grey: above 128 nothing is left
        ((0, 128), "its highest value is 128"),
        ((0, 1, 2, 3), "labels of objects"),
        ((0, 1, 255), "it holds 1 and 255"),
        ((1, 255), "it holds 1 and 255"),
        ((0, 128, 255), "areas of the grey values 128"),  # a trimap
        ((0, 60, 255), "areas of the grey values 60: labels of several objects"),
        ((0, 70000), "got 0 to 70000"),
        ((-1, 1), "got -1 to 1"),
    ],
)
def test_what_could_be_two_things_is_refused(values, message):
    bands = np.full((40, 40), values[0], np.int64)
    for i, value in enumerate(values[1:]):
        bands[5 + 6 * i : 11 + 6 * i, 3:30] = value
    with pytest.raises(BadSample, match=f"a.png: .*{message}"):
        binary(bands, "a.png")


def test_an_image_is_no_mask():
    noise = np.random.default_rng(0).integers(0, 256, (50, 50), dtype=np.uint8)
    with pytest.raises(BadSample, match="95% of its pixels are neither dark nor bright: it looks like an image"):
        binary(noise, "a.png")


def test_values_between_0_and_1_are_refused(disc):
    with pytest.raises(BadSample, match="whole numbers, got float64"):
        binary(disc * 0.7, "a.png")


def test_a_palette_is_looked_up_and_its_black_is_the_background(disc, tmp_path):
    image = Image.fromarray((disc * 7).astype(np.uint8), mode="P")
    image.putpalette([0, 0, 0] * 7 + [128, 0, 0] + [0, 0, 0] * 248)
    image.save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").mode == "P"
    assert np.array_equal(read_mask(tmp_path / "a.png"), disc)


def test_a_palette_whose_first_colour_is_white_is_not_turned_around(disc, tmp_path):
    image = Image.fromarray((~disc).astype(np.uint8), mode="P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png"), disc)


def test_a_palette_of_several_objects_is_refused(disc, tmp_path):
    labels = disc.astype(np.uint8)
    labels[:10, :10] = 2
    image = Image.fromarray(labels, mode="P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    image.save(tmp_path / "a.png")
    with pytest.raises(BadSample, match="several colours: labels of several objects"):
        read_mask(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "LA", "P"])
def test_a_mask_is_the_same_in_every_mode_of_a_file(disc, tmp_path, mode):
    Image.fromarray(disc.astype(np.uint8) * 255).convert(mode).save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png"), disc)


def test_sixteen_bits_are_read(disc, tmp_path):
    Image.fromarray(disc.astype(np.uint16) * 65535).save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png"), disc)


def test_a_mask_in_the_alpha_channel_is_refused(disc, tmp_path):
    white = np.full((*disc.shape, 3), 255, np.uint8)
    alpha = np.dstack([white, disc.astype(np.uint8) * 255])
    Image.fromarray(alpha).save(tmp_path / "a.png")
    with pytest.raises(BadSample, match="its alpha channel varies"):
        read_mask(tmp_path / "a.png")


def test_files_that_are_cut_or_no_image_are_named(disc, tmp_path):
    Image.fromarray(soft(disc)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:-40])
    (tmp_path / "text.png").write_text("not an image")
    for name in ("cut.png", "text.png", "none.png"):
        with pytest.raises(BadSample, match=name) as refused:
            read_mask(tmp_path / name)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_large_mask_takes_a_few_bytes_a_pixel(tmp_path, depth, channels):
    side, most = 2048, 2**depth - 1
    (tmp_path / "a.png").write_bytes(big_png(side, side, 0 if channels == 1 else 2, depth, white=True))
    memory = Memory()
    result = read_mask(tmp_path / "a.png")
    assert memory.close() * 2**20 < 8 * side**2 + 2**24
    assert result.mean() == 0.5
    assert np.array_equal(result, binary(np.where(result, most, 0), "a.png"))


@pytest.mark.data
def test_real_masks_are_recognised():
    files = sorted(realdata("davis2016_val").rglob("*.png"))[::20]
    assert files
    for file in files:
        grey = np.asarray(Image.open(file).convert("L"))
        assert np.array_equal(read_mask(file), grey > 128)


def test_grey_values_are_handed_on_as_they_are_stored_and_0_1_as_0_255(tmp_path, disc):
    soft = np.where(disc, 255, 0).astype(np.uint8)
    soft[0, :3] = (129, 128, 3)
    Image.fromarray(soft).save(tmp_path / "soft.png")
    Image.fromarray(disc.astype(np.uint8)).save(tmp_path / "bits.png")
    assert np.array_equal(read_grey(tmp_path / "soft.png"), soft)
    assert np.array_equal(read_grey(tmp_path / "bits.png"), disc * np.uint8(255))
    assert read_mask(tmp_path / "soft.png")[0, :3].tolist() == [True, False, False]
