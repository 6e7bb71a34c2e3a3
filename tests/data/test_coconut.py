"""COCONut-B: instances are the things of a panoptic mask, and its images are COCO's, wherever those lie."""

import json
import re

import numpy as np
import pytest

from linbench.data.roots import open_dataset
from tests.data.sets import H, W, cut, dump, folder, good_and_bad, photo, saved, square, the_one_bad, whole

THING, SKY, CROWD = 70_000, 300, 5  # ids of segments
SEGMENTS = (
    {"id": THING, "category_id": 18, "iscrowd": 0, "area": 16, "bbox": [3, 2, 4, 4]},
    {"id": SKY, "category_id": 187, "iscrowd": 0, "area": 167, "bbox": [0, 0, W, H]},
    {"id": CROWD, "category_id": 1, "iscrowd": 1, "area": 9, "bbox": [9, 6, 3, 3]},
)


def panoptic(numbers) -> np.ndarray:
    """Ids as colours: red + 256 green + 65536 blue."""
    return np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], axis=-1).astype(np.uint8)


def write_dataset(root, change=None, segments=SEGMENTS):
    """Three images, of which the second may be changed, in COCO's own folder and in that of unlabeled images."""
    numbers = np.full((H, W), SKY)
    numbers[square()], numbers[square(6, 9, 3)] = THING, CROWD
    for n, where in enumerate(("coco/train2017", "coco/unlabeled2017", "coconut/unlabeled2017")):
        photo(root / where / f"{n + 1:012d}.jpg", seed=n)
        saved(panoptic(numbers), root / f"coconut/coconut_b/{n + 1:012d}.png")
    table = {
        "images": [{"id": n, "file_name": f"{n:012d}.jpg", "height": H, "width": W} for n in (1, 2, 3)],
        "annotations": [
            {"image_id": n, "file_name": f"{n:012d}.png", "segments_info": [dict(segment) for segment in segments]}
            for n in (1, 2, 3)
        ],
        "categories": [
            {"id": 1, "name": "person", "isthing": 1},
            {"id": 18, "name": "dog", "isthing": 1},
            {"id": 187, "name": "sky", "isthing": 0},
        ],
    }
    if change:
        change(table["annotations"][1])
    return dump(root / "coconut/coconut_b.json", table)


def load_dataset(root):
    return open_dataset("coconut", "train", str(root))


def test_only_things_are_instances_and_their_masks_are_the_segments(tmp_path):
    file = write_dataset(tmp_path)
    dataset = load_dataset(tmp_path)
    assert (dataset.name, dataset.classes, dataset.facts["category_ids"]) == ("COCONut-B", ("person", "dog"), [1, 18])
    assert dataset.facts["annotations"] == str(file)
    for sample in dataset:
        dog, people = sample.instances()
        assert (dog.category, dog.crowd, dog.box, dog.area) == (1, False, (3.0, 2.0, 7.0, 6.0), 16.0)
        assert (people.category, people.crowd, people.id) == (0, True, "5")
        np.testing.assert_array_equal(dog.mask(), square())
        np.testing.assert_array_equal(people.mask(), square(6, 9, 3))


def test_images_lie_in_either_folder_of_coco_or_beside_the_masks(tmp_path):
    write_dataset(tmp_path)
    assert good_and_bad(load_dataset(tmp_path), whole) == (["1", "2", "3"], [])


def test_ids_with_a_decimal_point_are_the_same_segments_and_classes(tmp_path):
    write_dataset(tmp_path, _set(id=float(THING), category_id=18.0))
    assert [instance.id for instance in load_dataset(tmp_path)[1].instances()] == [str(THING), str(CROWD)]
    assert good_and_bad(load_dataset(tmp_path), whole) == (["1", "2", "3"], [])


def test_the_validation_set_is_the_relabelled_one(tmp_path):
    folder(tmp_path / "coconut/relabeled_coco_val")
    (tmp_path / "coconut/relabeled_coco_val.json").write_text(write_dataset(tmp_path).read_text())
    assert open_dataset("coconut", "val", str(tmp_path)).name == "relabeled COCO val"


def _set(**values):
    return lambda entry: entry["segments_info"][0].update(values)


DAMAGE = {
    "no list": (lambda entry: entry.update(segments_info=3), "`segments_info` is no list of objects"),
    "no name": (lambda entry: entry.pop("file_name"), "no `file_name` of its mask"),
    "an escape": (lambda entry: entry.update(file_name="../../x.png"), "'../../x.png' leads out of"),
    "an id of text": (_set(id="x"), "a segment whose `id` is no number from 1 to 16,777,215"),
    "the same id twice": (_set(id=CROWD), "two segments of one id"),
    "a NaN box": (_set(bbox=[0, 0, float("nan"), 1]), r"bbox \[0, 0, nan, 1\] is not finite"),
    "a crowd in text": (_set(iscrowd="0"), "iscrowd '0' is neither 0 nor 1"),
    "a wrong class": (_set(category_id=19), "category_id 19 of segment 70000 is none of its `categories`"),
    "a segment without pixels": (_set(id=77), r"000000000002\.png: segment 77 has no pixel"),
    "no annotation": (lambda entry: entry.update(image_id=9), "it has no panoptic annotations, not one"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_bad_annotation_is_said_in_a_line_and_the_other_images_are_read(tmp_path, damage):
    change, message = DAMAGE[damage]
    write_dataset(tmp_path, change)
    line = the_one_bad(load_dataset(tmp_path))
    assert re.search(message, line), line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut, "cannot be read as a mask"),
        (lambda path: path.unlink(), "cannot be read as a mask: No such file"),
        (lambda path: saved(panoptic(np.full((4, 4), SKY)), path), "a mask of 4 x 4 px for an image of 16 x 12 px"),
        (lambda path: saved(square() * np.uint8(255), path), "a panoptic mask has three channels"),
    ],
)
def test_a_bad_panoptic_mask_is_said_in_a_line_and_the_others_are_read(tmp_path, change, message):
    write_dataset(tmp_path)
    path = tmp_path / "coconut/coconut_b/000000000002.png"
    change(path)
    line = the_one_bad(load_dataset(tmp_path))
    assert line.startswith(f"{path}: {message}"), line


@pytest.mark.parametrize("name", [".", "", "/", "a\n.jpg"])
def test_an_image_without_a_usable_name_has_its_part_in_the_checksum(tmp_path, name):
    file = write_dataset(tmp_path)
    before, table = load_dataset(tmp_path).checksum, json.loads(file.read_text())
    table["images"][1]["file_name"] = name
    dump(file, table)
    assert load_dataset(tmp_path).checksum != before


def test_a_mask_file_is_decoded_once_for_all_of_its_instances(tmp_path):
    write_dataset(tmp_path)
    first, second = load_dataset(tmp_path)[1].instances()
    first.mask()
    (tmp_path / "coconut/coconut_b/000000000002.png").unlink()
    assert second.mask().sum() == 9
