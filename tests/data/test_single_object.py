"""DIS5K, COIFT, HRSOD: an image, a mask of its name, and whatever may be wrong with either."""

import pickle
import re

import numpy as np
import pytest
from PIL import Image

from linbench.data.contract import BadDataset, BadSample
from linbench.data.roots import open_dataset
from linbench.data.single_object import single_object
from tests.data.sets import cut, folder, good_and_bad, photo, saved, square, the_one_bad, whole
from tests.realdata import realdata

LAYOUTS = {
    ("dis", "train"): ("DIS5K/DIS-TR/im", "DIS5K/DIS-TR/gt", "DIS-TR"),
    ("dis", "val"): ("DIS5K/DIS-VD/im", "DIS5K/DIS-VD/gt", "DIS-VD"),
    ("coift", "val"): ("thin_object_detection/COIFT/images", "thin_object_detection/COIFT/masks", "COIFT"),
    ("hrsod", "val"): ("thin_object_detection/HRSOD/images", "thin_object_detection/HRSOD/masks_max255", "HRSOD"),
}


def write(root, images, masks, count=3):
    for n in range(count):
        photo(root / images / f"{n}#a bag.jpg", seed=n)
        saved(square(top=n) * np.uint8(255), root / masks / f"{n}#a bag.png")
    return root


@pytest.fixture
def dis(tmp_path):
    """A set of three, and its folders of images and masks."""
    write(tmp_path, *LAYOUTS["dis", "val"][:2])
    return tmp_path, tmp_path / "DIS5K/DIS-VD/im", tmp_path / "DIS5K/DIS-VD/gt"


def load_dataset(root):
    return open_dataset("dis", "val", str(root))


@pytest.mark.parametrize("which", LAYOUTS)
def test_each_published_layout_is_read(tmp_path, which):
    images, masks, name = LAYOUTS[which]
    dataset = open_dataset(*which, str(write(tmp_path, images, masks)))
    assert (dataset.name, dataset.split, len(dataset), dataset.faults) == (name, which[1], 3, ())
    sample = dataset[1]
    assert (sample.id, sample.image().shape) == ("1#a bag", (12, 16, 3))
    (instance,) = sample.instances()
    np.testing.assert_array_equal(instance.mask(), square(top=1))
    assert (instance.box, instance.area, instance.crowd) == (None, None, False)


def test_the_folder_of_the_set_itself_is_taken_for_the_root(dis):
    assert len(load_dataset(dis[0] / "DIS5K")) == 3


def test_a_missing_set_is_refused_with_what_is_missing_and_the_layout(dis):
    with pytest.raises(BadDataset, match=r"DIS5K \(train\): there is no .*DIS-TR/im; expected .*DIS-TR/gt/\*\.png"):
        open_dataset("dis", "train", str(dis[0]))
    with pytest.raises(BadDataset, match="DIS5K has the split train and val, not 'test'"):
        open_dataset("dis", "test", str(dis[0]))


def test_a_folder_of_images_without_one_of_masks_is_refused(tmp_path):
    photo(tmp_path / "DIS5K/DIS-VD/im/a.jpg")
    with pytest.raises(BadDataset, match=r"there is no .*DIS-VD/gt"):
        load_dataset(tmp_path)


def test_nothing_is_read_before_it_is_asked_for(dis):
    root, images, masks = dis
    for path in (*images.iterdir(), *masks.iterdir()):
        path.write_bytes(b"no image")
    dataset = load_dataset(root)
    assert [dataset[n].id for n in range(3)] == ["0#a bag", "1#a bag", "2#a bag"]
    with pytest.raises(BadSample):
        dataset[0].image()


DAMAGE = {
    "no mask": (lambda image, mask: mask.unlink(), r"1#a bag\.png: no such mask, of the image"),
    "a cut image": (lambda image, mask: cut(image), r"1#a bag\.jpg: cannot be read as an image"),
    "a cut mask": (lambda image, mask: cut(mask), r"1#a bag\.png: cannot be read as a mask"),
    "text": (lambda image, mask: image.write_text("no"), r"1#a bag\.jpg: not an image in a format that is read"),
    "a mask of another size": (
        lambda image, mask: saved(np.eye(20, dtype=np.uint8) * 255, mask),
        r"1#a bag\.png: a mask of 20 x 20 px for 1#a bag\.jpg of 16 x 12 px",
    ),
    "an empty mask": (
        lambda image, mask: saved(np.zeros((12, 16), np.uint8), mask),
        r"1#a bag\.png: the mask has no pixel",
    ),
    "labels": (
        lambda image, mask: saved(square() * np.uint8(7), mask),
        r"1#a bag\.png: a mask reaches 1 or 255; its highest value is 7",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_wrong_with_one_sample_is_said_in_a_line_and_the_others_are_read(dis, damage):
    root, images, masks = dis
    do, message = DAMAGE[damage]
    do(images / "1#a bag.jpg", masks / "1#a bag.png")
    line = the_one_bad(load_dataset(root))
    assert re.search(message, line), line


def _palette(mask):
    image = Image.fromarray(mask * np.uint8(1)).convert("P")
    image.putpalette([0, 0, 0, 128, 0, 0])
    return image


def _soft(mask):
    values = mask * np.uint8(255)
    values[2, 2], values[2, 3] = 90, 170  # beside the square, and in it
    return Image.fromarray(values)


STORED = {
    "0 and 1": lambda mask: Image.fromarray(mask * np.uint8(1)),
    "0 and 255": lambda mask: Image.fromarray(mask * np.uint8(255)),
    "colours": lambda mask: Image.fromarray(mask * np.uint8(255)).convert("RGB"),
    "bits": Image.fromarray,
    "palette": _palette,
    "soft grey": _soft,
}


@pytest.mark.parametrize("stored", STORED)
def test_a_mask_is_recognised_however_it_is_stored(dis, stored):
    root, _, masks = dis
    STORED[stored](square()).save(masks / "1#a bag.png")
    np.testing.assert_array_equal(load_dataset(root)[1].instances()[0].mask(), square())


def test_masks_without_images_and_second_images_are_faults(dis):
    root, images, masks = dis
    saved(square() * np.uint8(255), masks / "stray.png")
    photo(images / "1#a bag.png")
    photo(images / "._1#a bag.jpg")  # what a Mac leaves beside files
    (images / "Thumbs.db").write_text("")
    dataset = load_dataset(root)
    assert [(fault.id, fault.reason.split(",")[0]) for fault in dataset.faults] == [
        ("1#a bag", "a second image of this name"),
        ("stray", f"a mask without an image in {images}"),
    ]
    assert len(good_and_bad(dataset, whole)[0]) == 3


def test_the_checksum_changes_with_a_name_or_a_size_and_not_with_the_folder(tmp_path):
    first, second = (write(tmp_path / name, *LAYOUTS["dis", "val"][:2]) for name in "ab")
    before = load_dataset(first).checksum
    assert load_dataset(second).checksum == before
    gt = second / "DIS5K/DIS-VD/gt/1#a bag.png"
    gt.write_bytes(gt.read_bytes() + b"\0")
    assert load_dataset(second).checksum != before
    (first / "DIS5K/DIS-VD/im/1#a bag.jpg").rename(first / "DIS5K/DIS-VD/im/1#b.jpg")
    assert load_dataset(first).checksum != before


def test_a_set_and_its_samples_can_be_sent_to_another_process(dis):
    dataset = pickle.loads(pickle.dumps(load_dataset(dis[0])))
    sample = pickle.loads(pickle.dumps(dataset[2]))
    assert sample.instances()[0].mask().sum() == 16


def test_numbers_outside_the_set_are_index_errors_so_that_iterating_ends(dis):
    dataset = load_dataset(dis[0])
    assert len(list(dataset)) == 3
    with pytest.raises(IndexError, match="DIS-VD has samples 0 to 2, not -1"):
        dataset[-1]


def test_an_empty_folder_is_an_empty_set(tmp_path):
    folder(tmp_path / "DIS5K/DIS-VD/im"), folder(tmp_path / "DIS5K/DIS-VD/gt")
    assert len(load_dataset(tmp_path)) == 0


@pytest.mark.data
def test_every_real_frame_of_davis_has_its_mask():
    base = realdata("davis2016_val")
    dataset = single_object("DAVIS", "val", base / "images", base / "masks")
    assert (len(dataset), dataset.faults) == (40, ())
    sizes = {sample.instances()[0].mask().shape for sample in dataset}
    assert sizes == {(480, 854)}
    assert dataset[0].image().shape == (480, 854, 3)
