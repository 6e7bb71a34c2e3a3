"""The objects in one mask file, by what its values are, and the files that could mean two things."""

import numpy as np
import pytest
from PIL import Image

from linbench.data.contract import BadSample
from linbench.data.object_masks import read_objects
from tests.data.sets import saved, square

SIZE = (40, 48)


def label_map(*labels):
    """Squares of these labels beside each other."""
    values = np.zeros(SIZE, np.int64)
    for number, label in enumerate(labels):
        values[4:20, 2 + 12 * number : 12 + 12 * number] = label
    return values


def palette_file(values, path, colours):
    image = Image.fromarray(values.astype(np.uint8), mode="P")
    image.putpalette(np.asarray(colours, np.uint8).ravel().tolist())
    image.save(path)
    return path


COLOURS = [[0, 0, 0], [128, 0, 0], [0, 128, 0], *([[7, 9, 11]] * 252), [224, 224, 192]]


def masks_of(path):
    objects = read_objects(path)
    return {name: objects.mask(index) for index, name in enumerate(objects.names)}


def test_each_index_of_a_palette_is_an_object_and_255_is_void(tmp_path):
    values = label_map(1, 2, 255)
    masks = masks_of(palette_file(values, tmp_path / "a.png", COLOURS))
    assert list(masks) == ["1", "2"]
    for name, mask in masks.items():
        np.testing.assert_array_equal(mask, values == int(name))


def test_a_palette_with_void_alone_has_no_object(tmp_path):
    path = palette_file(label_map(255), tmp_path / "a.png", COLOURS)
    with pytest.raises(BadSample, match=r"a\.png: the mask has no object, only background and void"):
        read_objects(path)


def test_a_palette_of_black_and_white_is_one_foreground(tmp_path):
    ramp = [[value] * 3 for value in range(256)]
    (mask,) = masks_of(palette_file(label_map(255), tmp_path / "a.png", ramp)).values()
    np.testing.assert_array_equal(mask, label_map(1) == 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_each_value_of_an_instance_map_is_an_object(tmp_path, dtype):
    values = label_map(1, 2, 7).astype(dtype)
    masks = masks_of(saved(values, tmp_path / "a.png"))
    assert list(masks) == ["1", "2", "7"]
    for name, mask in masks.items():
        np.testing.assert_array_equal(mask, values == int(name))


def test_labels_above_255_are_objects(tmp_path):
    values = label_map(300, 40000).astype(np.uint16)
    assert list(masks_of(saved(values, tmp_path / "a.png"))) == ["300", "40000"]


def test_each_colour_but_black_is_an_object(tmp_path):
    colours = np.zeros((*SIZE, 3), np.uint8)
    colours[label_map(1) == 1] = (200, 0, 0)
    colours[label_map(0, 1) == 1] = (0, 0, 200)
    masks = masks_of(saved(colours, tmp_path / "a.png"))
    assert list(masks) == [str(200), str(200 << 16)]
    np.testing.assert_array_equal(masks["200"], label_map(0, 1) == 1)


@pytest.mark.parametrize("high", [1, 255])
def test_two_values_are_one_foreground_without_a_label(tmp_path, high):
    (entry,) = masks_of(saved((square(size=SIZE) * high).astype(np.uint8), tmp_path / "a.png")).items()
    assert entry[0] == ""
    np.testing.assert_array_equal(entry[1], square(size=SIZE))


def test_soft_grey_is_one_foreground_above_128(tmp_path):
    ramp = np.zeros(SIZE, np.uint8)
    ramp[10:30, 10:30] = 255
    ramp[9, 10:30], ramp[30, 10:30] = np.linspace(60, 128, 20), np.linspace(129, 220, 20)
    (mask,) = masks_of(saved(ramp, tmp_path / "a.png")).values()
    assert (mask == (ramp > 128)).all() and mask[30].any() and not mask[9].any()


def test_a_jpeg_is_one_foreground_whatever_its_noise(tmp_path):
    values = square(9, 11, 17, SIZE).astype(np.uint8) * 255
    path = tmp_path / "a.jpg"
    Image.fromarray(values).save(path, quality=40)
    with Image.open(path) as image:
        assert len(np.unique(np.asarray(image))) > 2
    (mask,) = masks_of(path).values()
    np.testing.assert_array_equal(mask, values > 128)


@pytest.mark.parametrize(("labels", "listed"), [((1, 255), r"\(1\) and 255"), ((1, 2, 255), r"\(1, 2\) and 255")])
def test_labels_and_255_without_a_palette_are_refused(tmp_path, labels, listed):
    path = saved(label_map(*labels).astype(np.uint8), tmp_path / "a.png")
    with pytest.raises(BadSample, match=rf"it holds labels {listed}: an object or void\?"):
        read_objects(path)


def test_a_photograph_is_no_mask(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    for name, values in (("colour.png", noise), ("grey.png", noise[..., 0])):
        with pytest.raises(BadSample, match=rf"{name}: "):
            read_objects(saved(values, tmp_path / name))


def test_an_empty_mask_and_a_damaged_file_are_named(tmp_path):
    with pytest.raises(BadSample, match=r"a\.png: the mask has no pixel"):
        read_objects(saved(np.zeros(SIZE, np.uint8), tmp_path / "a.png"))
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(BadSample, match=r"b\.png: "):
        read_objects(tmp_path / "b.png")
