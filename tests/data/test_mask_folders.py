"""Images and masks of a user: what belongs together at any depth, and a name for whatever does not."""

import os

import numpy as np
import pytest

from linbench.data.contract import BadDataset, BadSample
from linbench.data.custom import LONGEST_NAME, MaskData, checked_name
from linbench.data.mask_folders import mask_folders
from tests.data.sets import folder, photo, saved, square
from tests.realdata import realdata


def mask_file(path, **where):
    return saved(square(**where).astype(np.uint8) * 255, path)


def opened(root):
    return mask_folders("mine", root / "im", root / "gt")


def pair(root, image, mask, **where):
    photo(root / "im" / image)
    mask_file(root / "gt" / mask, **where)


def read(dataset):
    """Masks by id; the message in place of a sample that cannot be used."""
    result = {}
    for sample in dataset:
        try:
            result[sample.id] = [instance.mask() for instance in sample.instances()]
        except BadSample as error:
            result[sample.id] = str(error)
    return result


@pytest.mark.parametrize(
    "ending", ["", "_mask", "-mask", ".mask", "_masks", "_gt", "-gt", "_seg", "_segmentation", "_label", "_Mask"]
)
def test_common_endings_of_masks_are_taken_off(tmp_path, ending):
    pair(tmp_path, "a cat.jpg", f"a cat{ending}.png", top=1)
    dataset = opened(tmp_path)
    assert (len(dataset), dataset.faults) == (1, ())
    np.testing.assert_array_equal(read(dataset)["a cat"][0], square(top=1))


def test_equal_paths_at_any_depth_pair_before_equal_names(tmp_path):
    for top, sequence in enumerate(("bear", "camel/late")):
        pair(tmp_path, f"{sequence}/00000.jpg", f"{sequence}/00000_mask.png", top=top)
    dataset = opened(tmp_path)
    assert dataset.faults == ()
    masks = read(dataset)
    assert list(masks) == ["bear/00000", "camel/late/00000"]
    for top, (mask,) in enumerate(masks.values()):
        np.testing.assert_array_equal(mask, square(top=top))


def test_a_name_that_occurs_once_pairs_over_different_folders(tmp_path):
    pair(tmp_path, "train/x.jpg", "all masks/x_gt.png")
    assert not isinstance(read(opened(tmp_path))["train/x"], str)


def test_two_images_of_one_name_never_guess_their_mask(tmp_path):
    for name in ("a/0.jpg", "b/0.jpg"):
        photo(tmp_path / "im" / name)
    mask_file(tmp_path / "gt" / "0.png")
    dataset = opened(tmp_path)
    assert all("2 images and 1 mask have this name" in message for message in read(dataset).values())
    (fault,) = dataset.faults
    assert fault.file.endswith("gt/0.png")


def test_two_masks_of_one_name_are_never_chosen_from(tmp_path):
    photo(tmp_path / "im" / "x.jpg")
    for path in ("a/x.png", "b/x_mask.png"):
        mask_file(tmp_path / "gt" / path)
    assert "1 image and 2 masks have this name" in read(opened(tmp_path))["x"]
    assert len(opened(tmp_path).faults) == 2


def test_a_left_mask_is_never_given_to_the_image_of_another_folder(tmp_path):
    pair(tmp_path, "a/0.jpg", "a/0.png")
    pair(tmp_path, "b/0.jpg", "c/0.png")
    masks = read(opened(tmp_path))
    assert isinstance(masks["b/0"], str) and not isinstance(masks["a/0"], str)
    (fault,) = opened(tmp_path).faults
    assert fault.reason.startswith("a mask without an image at c/0")


def test_missing_and_extra_files_and_second_images_are_named_once(tmp_path):
    pair(tmp_path, "good.jpg", "good.png")
    photo(tmp_path / "im" / "lonely.jpg")
    photo(tmp_path / "im" / "good.png")
    mask_file(tmp_path / "gt" / "extra.png")
    mask_file(tmp_path / "gt" / "good_mask.png")
    dataset = opened(tmp_path)
    assert "lonely.jpg: no mask of this name in" in read(dataset)["lonely"]
    assert {fault.file.rpartition("/")[2]: fault.reason.partition(" in ")[0] for fault in dataset.faults} == {
        "good.png": "a second image of this name, beside good.jpg",
        "extra.png": "a mask without an image",
        "good_mask.png": "a mask without an image at good; 1 of this name are elsewhere or have another mask",
    }


def test_a_mask_of_another_size_is_named(tmp_path):
    photo(tmp_path / "im" / "a.jpg")
    mask_file(tmp_path / "gt" / "a.png", size=(20, 20))
    assert "a.png: a mask of 20 x 20 px for a.jpg of 16 x 12 px" in read(opened(tmp_path))["a"]


def test_jpeg_masks_are_counted_in_a_note(tmp_path):
    pair(tmp_path, "a.jpg", "a_mask.jpg", side=6)
    pair(tmp_path, "b.jpg", "b.png")
    assert opened(tmp_path).facts["notes"] == ["1 of 2 masks are JPEG files: read as grey, the object is above 128"]


def test_one_folder_may_hold_images_and_masks(tmp_path):
    photo(tmp_path / "a.jpg")
    mask_file(tmp_path / "a_mask.png")
    photo(tmp_path / "b.jpg")
    dataset = mask_folders("mine", tmp_path, tmp_path)
    assert ([sample.id for sample in dataset], dataset.faults) == (["a", "b"], ())
    assert "no mask of this name" in read(dataset)["b"]


def test_a_folder_of_masks_within_that_of_images_is_no_image(tmp_path):
    photo(tmp_path / "a.jpg")
    mask_file(tmp_path / "masks" / "a.png")
    dataset = mask_folders("mine", tmp_path, tmp_path / "masks")
    assert ([sample.id for sample in dataset], dataset.faults) == (["a"], ())


def test_links_in_a_circle_and_hidden_files_end_the_search(tmp_path):
    pair(tmp_path, "a.jpg", "a.png")
    photo(tmp_path / "im" / "._a.jpg")
    (tmp_path / "im" / "round").symlink_to(tmp_path / "im")
    (tmp_path / "im" / "self").symlink_to("self")
    assert [sample.id for sample in opened(tmp_path)] == ["a"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_a_fault(tmp_path):
    pair(tmp_path, "a.jpg", "a.png")
    folder(tmp_path / "im" / "shut").chmod(0)
    (fault,) = opened(tmp_path).faults
    assert "cannot be read" in fault.reason


@pytest.mark.parametrize(
    ("without", "message"), [("im", "--images .*: no such folder"), ("gt", "--masks .*: no such folder")]
)
def test_a_missing_folder_is_refused(tmp_path, without, message):
    folder(tmp_path / ("gt" if without == "im" else "im"))
    with pytest.raises(BadDataset, match=message):
        opened(tmp_path)


def test_folders_without_images_or_masks_are_refused(tmp_path):
    folder(tmp_path / "gt")
    folder(tmp_path / "im")
    with pytest.raises(BadDataset, match=r"--images .*: it has no image"):
        opened(tmp_path)
    photo(tmp_path / "im" / "a.jpg")
    with pytest.raises(BadDataset, match=r"--masks .*: it has no mask"):
        opened(tmp_path)


def test_the_checksum_is_of_names_and_sizes_wherever_the_folders_are(tmp_path):
    checksums = []
    for place in ("one", "two"):
        pair(tmp_path / place, "a.jpg", "a.png")
        checksums.append(opened(tmp_path / place).checksum)
    photo(tmp_path / "two" / "im" / "b.jpg")
    assert checksums[0] == checksums[1] != opened(tmp_path / "two").checksum


@pytest.mark.parametrize("name", ["", "shapes", "a\nb", "x" * (LONGEST_NAME + 1)])
def test_a_name_that_no_title_can_show_is_refused(tmp_path, name):
    with pytest.raises(BadDataset, match="--name "):
        checked_name(name, tmp_path)


def test_the_folder_names_the_data_unless_the_user_does(tmp_path):
    pair(tmp_path, "a.jpg", "a.png")
    folders = (tmp_path / "im", tmp_path / "gt")
    assert (MaskData(*folders).open().name, MaskData(*folders, "my-set").open().name) == ("im", "my-set")


@pytest.mark.data
def test_every_real_frame_of_davis_has_its_mask():
    base = realdata("davis2016_val")
    dataset = mask_folders("DAVIS", base / "images", base / "masks")
    assert (len(dataset), dataset.faults) == (40, ())
    assert {len(sample.instances()) for sample in dataset} == {1}
