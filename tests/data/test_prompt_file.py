"""Boxes of many images from a COCO file: matched by name or number, and whatever is wrong message in one line."""

import json
from pathlib import Path

import pytest

from linbench.data import prompt_file
from linbench.data.prompt_file import read_prompt_file
from linbench.data.prompts import validate_prompt
from tests.realdata import realdata


def write_prompts(tmp_path, content):
    path = tmp_path / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def boxes(prompts, name):
    return [validate_prompt(prompt, 100, 100).box for prompt in prompts.for_image(Path(name))]


def entry(bbox=(1, 2, 3, 4), **more):
    return {"bbox": list(bbox), **more}


@pytest.mark.parametrize("name", ["42.jpg", "000000000042.jpg", "COCO_val2014_000000000042.jpg", "a/b/0042.png"])
def test_detections_find_their_image_by_its_coco_number(tmp_path, name):
    prompts = read_prompt_file(write_prompts(tmp_path, [entry(image_id=42), entry((5, 5, 1, 1), image_id=420)]))
    assert boxes(prompts, name) == [(1.0, 2.0, 4.0, 6.0)]


@pytest.mark.parametrize("name", ["frame_42.jpg", "cat.jpg", "421.jpg"])
def test_a_number_inside_another_name_is_not_a_coco_number(tmp_path, name):
    assert read_prompt_file(write_prompts(tmp_path, [entry(image_id=42)])).for_image(Path(name)) == []


def test_an_id_of_text_is_the_name_without_its_ending(tmp_path):
    assert boxes(read_prompt_file(write_prompts(tmp_path, [entry(image_id="cat")])), "x/cat.jpg") == [
        (1.0, 2.0, 4.0, 6.0)
    ]


def test_an_id_with_a_decimal_point_is_the_whole_number_that_it_is(tmp_path):
    prompts = read_prompt_file(write_prompts(tmp_path, [entry(image_id=42.0, id=7.0, score=float("nan"))]))
    (prompt,) = prompts.for_image(Path("000000000042.jpg"))
    assert prompt.facts == {"image_id": 42, "id": 7}


def test_a_file_name_with_backslashes_is_that_of_its_image(tmp_path):
    assert boxes(read_prompt_file(write_prompts(tmp_path, [entry(file_name="val\\a.png")])), "val/a.png")


def test_annotations_find_their_image_by_the_table_and_have_the_names_of_their_categories(tmp_path):
    content = {
        "images": [{"id": 7, "file_name": "cat.jpg"}],
        "annotations": [entry(image_id=7, category_id=3, id=5), entry((5, 5, 1, 1), image_id=7)],
        "categories": [{"id": 3, "name": "cat"}],
    }
    first, second = read_prompt_file(write_prompts(tmp_path, content)).for_image(Path("any/cat.jpg"))
    assert (first.name, second.name) == ("cat", "")
    assert first.facts == {"image_id": 7, "category_id": 3, "id": 5}


def test_a_detection_keeps_its_score_and_its_order(tmp_path):
    content = [entry(file_name="a.png", score=s) for s in (0.1, 0.9, 0.5)]
    prompts = read_prompt_file(write_prompts(tmp_path, content)).for_image(Path("a.png"))
    assert [prompt.facts["detection_score"] for prompt in prompts] == [0.1, 0.9, 0.5]


def test_images_of_one_name_are_told_apart_by_their_folders(tmp_path):
    content = [entry(file_name="train/1.jpg"), entry((5, 5, 1, 1), file_name="val/1.jpg")]
    prompts = read_prompt_file(write_prompts(tmp_path, content))
    assert boxes(prompts, "/data/val/1.jpg") == [(5.0, 5.0, 6.0, 6.0)]
    with pytest.raises(ValueError, match=r"^/data/test/1\.jpg: .* several images of this name"):
        prompts.for_image(Path("/data/test/1.jpg"))


@pytest.mark.parametrize(
    ("bbox", "fault"),
    [
        ([1, 2, -3, 4], "it is reversed"),
        ([1, 2, 0, 4], "it is empty"),
        ([1, 2, 200, 4], "it reaches far outside"),
        ([1, 2, 3], "a box is four finite numbers"),
        ([1, 2, "3", 4], "a box is four finite numbers"),
        (["a", 2, 3, 4], "a box is four finite numbers"),
        ([1, 2, None, 4], "a box is four finite numbers"),
        (None, "a box is four finite numbers"),
        ({"x": 1}, "a box is four finite numbers"),
        ([1, 2, 1e999, 4], "a box is four finite numbers"),
        ([1, 2, 10**400, 4], "a box is four finite numbers"),
        ([1.5, 2, 10**400, 4], "a box is four finite numbers"),
    ],
)
def test_a_box_that_is_none_is_refused_by_its_place_and_the_others_are_not(tmp_path, bbox, fault):
    path = write_prompts(tmp_path, [entry(image_id=1), {"image_id": 1, "bbox": bbox}])
    first, second = read_prompt_file(path).for_image(Path("1.jpg"))
    assert validate_prompt(first, 100, 100).box == (1.0, 2.0, 4.0, 6.0)
    with pytest.raises(ValueError, match=rf"^entry 1 of .*boxes\.json, bbox .*{fault}"):
        validate_prompt(second, 100, 100)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "it is not JSON"),
        ("{", "it is not JSON"),
        ("[" * 200_000, "nested too deeply"),
        ("3", "it holds no COCO detections"),
        ("[3]", "it holds no COCO detections"),
        ('{"images": []}', "it holds no COCO detections"),
        ('{"annotations": [], "images": 3}', "`images` is not a list of objects"),
        ('[{"bbox": [1, 2, 3, 4]}]', "entry 0 names no image"),
        ('[{"bbox": [1, 2, 3, 4], "image_id": [1]}]', "entry 0 names no image"),
        ("1" * 5000, "digits"),
    ],
)
def test_a_file_that_holds_no_boxes_is_refused_in_one_line_that_names_it(tmp_path, content, message):
    path = write_prompts(tmp_path, content)
    with pytest.raises(ValueError, match=f"^{path}: .*{message}") as caught:
        read_prompt_file(path)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_a_missing_file_and_a_large_one_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "boxes.json"
    with pytest.raises(ValueError, match=r"boxes\.json: it cannot be read: No such file"):
        read_prompt_file(path)
    path.write_bytes(b'["\xff\xfe\x80"]')
    with pytest.raises(ValueError, match=r"boxes\.json: it is not JSON"):
        read_prompt_file(path)
    monkeypatch.setattr(prompt_file, "LARGEST_BYTES", 5)
    with pytest.raises(ValueError, match="it has 7 bytes; at most 5 are read"):
        read_prompt_file(path)


@pytest.mark.data
def test_every_real_annotation_of_coco_finds_its_image_and_fits_it():
    from linbench.data.image import read_image

    folder = realdata("coco_train2017_free")
    prompts = read_prompt_file(folder / "instances.json")
    images = sorted((folder / "images").iterdir())
    fitting = 0
    for image in images:
        height, width = read_image(image).shape[:2]
        fitting += len([validate_prompt(prompt, height, width) for prompt in prompts.for_image(image)])
    assert (len(images), fitting) == (47, 524)
