"""COCO and its kin: what an annotation file says, what may be wrong in it, and where in it that is."""

import json
import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO

from linbench.coco import rle
from linbench.coco.index import read_index
from linbench.data.coco import coco_instances
from linbench.data.contract import BadDataset, BadSample
from linbench.data.roots import open_dataset
from tests.data.sets import (
    H,
    W,
    annotation,
    coco_table,
    cut,
    dump,
    good_and_bad,
    photo,
    square,
    the_one_bad,
    whole,
    write_coco,
)
from tests.realdata import realdata


def load_dataset(root, split="val"):
    return open_dataset("coco", split, str(root))


def test_images_and_annotations_are_those_of_the_file(tmp_path):
    file = write_coco(tmp_path)
    dataset = load_dataset(tmp_path)
    assert (dataset.name, len(dataset), dataset.classes) == ("COCO val2017", 3, ("person", "dog"))
    assert (dataset.facts["annotations"], dataset.facts["category_ids"]) == (str(file), [1, 18])
    sample = dataset[1]
    assert (sample.id, sample.size, sample.image().shape) == ("11", (H, W), (H, W, 3))
    (instance,) = sample.instances()
    assert (instance.box, instance.category, instance.area, instance.id) == ((3.0, 2.0, 7.0, 6.0), 1, 16.0, "101")
    np.testing.assert_array_equal(instance.mask(), square())


def test_an_image_is_read_as_its_pixels_lie_since_that_is_how_it_was_annotated(tmp_path):
    from PIL import Image

    write_coco(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "coco/val2017/000000000011.jpg"
    Image.open(path).save(path, exif=exif)
    assert load_dataset(tmp_path)[1].image().shape == (H, W, 3)


def test_annotations_keep_their_order_and_their_image_wherever_they_stand_in_the_file(tmp_path):
    table = coco_table()
    table["annotations"] = [annotation(n, 10 + n % 2) for n in (7, 4, 9, 2)]
    order = ("categories", "annotations", "images", "info")
    file = write_coco(tmp_path, table)
    dump(file, json.dumps({name: table[name] for name in order}, indent=2))
    dataset = load_dataset(tmp_path)
    assert [[instance.id for instance in sample.instances()] for sample in dataset] == [["4", "2"], ["7", "9"], []]


def test_the_order_is_kept_however_many_annotations_there_are(tmp_path):
    table = coco_table()
    table["annotations"] = [annotation(n, 10 + n % 3) for n in range(300)]
    write_coco(tmp_path, table)
    assert [instance.id for instance in load_dataset(tmp_path)[1].instances()] == [str(n) for n in range(1, 300, 3)]


def test_names_that_are_not_ascii_are_read_whether_escaped_or_not(tmp_path):
    table = coco_table(2)
    table["images"][0]["file_name"] = "été 日本.jpg"
    table["categories"][1]["name"] = "chien é"
    for text in (json.dumps(table), json.dumps(table, ensure_ascii=False)):
        file = write_coco(tmp_path, table)
        file.write_text(text, encoding="utf-8")
        dataset = load_dataset(tmp_path)
        whole(dataset[0])
        assert dataset.classes == ("person", "chien é")
        assert dataset[1].instances()[0].id == "101"


POLYGON = [3.0, 2.0, 7.0, 2.0, 7.0, 6.0, 3.0, 6.0]


@pytest.mark.parametrize(
    "segmentation",
    [
        [POLYGON],
        [POLYGON, [9.5, 1, 12, 1, 12, 3.25]],
        {"size": [H, W], "counts": [38, 4, 8, 4, 8, 4, 8, 4, 114]},
        rle.encode(square()),
    ],
)
def test_polygons_and_run_lengths_are_the_pixels_that_pycocotools_makes_of_them(tmp_path, segmentation):
    table = coco_table()
    table["annotations"][1] = annotation(101, 11, segmentation=segmentation)
    file = write_coco(tmp_path, table)
    theirs = COCO(str(file))
    np.testing.assert_array_equal(
        load_dataset(tmp_path)[1].instances()[0].mask(), theirs.annToMask(theirs.anns[101]).astype(bool)
    )


def test_a_crowd_is_marked(tmp_path):
    table = coco_table()
    table["annotations"][1]["iscrowd"] = 1
    write_coco(tmp_path, table)
    assert [instance.crowd for sample in load_dataset(tmp_path) for instance in sample.instances()] == [
        False,
        True,
        False,
    ]


EMPTY = {"size": [H, W], "counts": [H * W]}
#: What is done to the annotation 101, of image 11, and what is message of it.
ENTRIES = {
    "a polygon with two points": ({"segmentation": [[1, 1, 5, 5]]}, "a polygon with 2 points"),
    "an odd polygon": ({"segmentation": [[1, 1, 5, 5, 2, 2, 3]]}, "a polygon of 7 numbers, which are no pairs"),
    "words in a polygon": ({"segmentation": [[1, 1, "5", 5, 2, 2]]}, "a polygon that is no list of numbers"),
    "no polygon": ({"segmentation": []}, "a segmentation without polygons"),
    "no segmentation": ({"segmentation": None}, "no segmentation"),
    "a number for a segmentation": ({"segmentation": 3}, "a segmentation of neither polygons nor run lengths"),
    "run lengths without counts": ({"segmentation": {"size": [H, W]}}, "run lengths without `counts`"),
    "a mask of another size": (
        {"segmentation": {"size": [W, H], "counts": [H * W]}},
        r"a mask of size \[16, 12\] \(h, w\) for an image of \[12, 16\]",
    ),
    "a negative area": ({"area": -1}, "area -1 is no area"),
    "an area of text": ({"area": "16"}, "area '16' is no area"),
    "a NaN area": ({"area": float("nan")}, "area nan is no area"),
    "an endless area": ({"area": 10**400}, "area 1000"),
    "a crowd in text": ({"iscrowd": "0"}, "iscrowd '0' is neither 0 nor 1"),
    "a crowd in words": ({"iscrowd": "false"}, "iscrowd 'false' is neither 0 nor 1"),
    "half a crowd": ({"iscrowd": 0.5}, "iscrowd 0.5 is neither 0 nor 1"),
    "an ignored one in text": ({"ignore": "0"}, "ignore '0' is neither 0 nor 1"),
    "a mask whose size is text": (
        {"segmentation": {"size": [str(H), str(W)], "counts": [H * W]}},
        r"a mask of size \['12', '16'\] \(h, w\)",
    ),
    "a class in text": ({"category_id": "18"}, "category_id '18' is none of the file's `categories`"),
    "a fraction of a class": ({"category_id": 18.5}, "category_id 18.5 is none of the file's `categories`"),
    "a wrong class": ({"category_id": 19}, "category_id 19 is none of the file's `categories`"),
    "no class": ({"category_id": None}, "category_id None is none of the file's `categories`"),
    "a second of its id": ({"id": 100}, "a second annotation of the id 100"),
}


@pytest.mark.parametrize("damage", ENTRIES)
def test_a_bad_annotation_is_left_out_and_named_and_all_others_stay(tmp_path, damage):
    change, message = ENTRIES[damage]
    table = coco_table()
    table["annotations"].insert(1, annotation(99, 11))
    table["annotations"][2] |= change
    file = write_coco(tmp_path, table)
    dataset = load_dataset(tmp_path)
    number = change.get("id", 101)
    (fault,) = dataset.faults
    assert (fault.id, fault.file) == ("11", str(file))
    assert re.search(rf"^annotation {number}, of image 11: .*{message}", fault.reason), fault.reason
    assert good_and_bad(dataset, whole) == (["10", "11", "12"], [])
    assert [instance.id for instance in dataset[1].instances()] == ["99"]


MASKS = {
    "runs too short": ({"size": [H, W], "counts": [3, 4]}, "the run lengths cover 7 px, the image has 192"),
    "runs too long": ({"size": [H, W], "counts": [3, 4000]}, "the run lengths cover 4,003 px"),
    "negative runs": ({"size": [H, W], "counts": [-3, 195]}, "a run length is negative"),
    "text that is none": ({"size": [H, W], "counts": "~~~"}, "characters that none have"),
    "no text": ({"size": [H, W], "counts": ""}, "characters that none have"),
    "an infinite polygon": ([[1, 1, float("inf"), 5, 2, 2]], "a number that is not finite"),
    "a huge whole number in a polygon": ([[1, 1, 10**400, 5, 2, 2]], "a number that is not finite"),
    "a polygon far outside": ([[1, 1, 1e9, 5, 2, 2]], "reaches far outside the image of 16 x 12 px"),
}


@pytest.mark.parametrize("damage", MASKS)
def test_what_only_decoding_shows_is_said_when_the_mask_is_asked_for(tmp_path, damage):
    segmentation, message = MASKS[damage]
    table = coco_table()
    table["annotations"][1]["segmentation"] = segmentation
    file = write_coco(tmp_path, table)
    dataset = load_dataset(tmp_path)
    assert dataset.faults == ()
    line = the_one_bad(dataset)
    assert line.startswith(f"{file}: annotation 101, of image 11: ")
    assert message in line


UNUSUAL = {
    "a box of nothing": ({"bbox": []}, r"bbox \[\] is not four numbers"),
    "a box of three": ({"bbox": [1, 2, 3]}, r"bbox \[1, 2, 3\] is not four numbers"),
    "a NaN box": ({"bbox": [1, float("nan"), 2, 2]}, r"bbox \[1, nan, 2, 2\] is not finite"),
    "an infinite box": ({"bbox": [1, 1, float("inf"), 2]}, "is not finite"),
    "a huge box": ({"bbox": [10**400, 1, 2, 2]}, "is not finite"),
    "a reversed box": ({"bbox": [1, 2, -3, 4]}, "is reversed"),
    "a box of text": ({"bbox": ["1", "2", "3", "4"]}, "is not four numbers"),
}


@pytest.mark.parametrize("damage", UNUSUAL)
def test_a_box_that_is_none_is_noted_and_its_object_counts(tmp_path, damage):
    change, message = UNUSUAL[damage]
    table = coco_table()
    table["annotations"][1] |= change
    write_coco(tmp_path, table)
    dataset = load_dataset(tmp_path)
    (instance,) = dataset[1].instances()
    assert (instance.box, instance.mask().sum(), dataset.faults) == (None, 16, ())
    (note,) = dataset.facts["notes"]
    assert re.search(
        rf"^annotations that count without .*: 1; the first: annotation 101, of image 11: .*{message}", note
    ), note


@pytest.mark.parametrize("short", [[5, 5, 9, 9], [5, 5], []])
@pytest.mark.parametrize("position", [0, 1])
def test_a_part_below_three_points_beside_a_polygon_has_no_pixel_and_costs_nothing(tmp_path, short, position):
    table = coco_table()
    parts = [POLYGON]
    parts.insert(position, short)
    table["annotations"][1]["segmentation"] = parts
    write_coco(tmp_path, table)
    dataset = load_dataset(tmp_path)
    np.testing.assert_array_equal(dataset[1].instances()[0].mask(), square())
    assert dataset.faults == ()
    assert f"a part of its polygons with {len(short) // 2} points, which has no pixel" in dataset.facts["notes"][0]


@pytest.mark.parametrize("segmentation", [EMPTY, [[5.1, 5.1, 5.3, 5.1, 5.3, 5.3, 5.1, 5.3]]])
def test_an_object_below_a_pixel_keeps_its_place_with_an_empty_mask(tmp_path, segmentation):
    table = coco_table()
    table["annotations"].append(annotation(7, 11, segmentation=segmentation, area=0.04))
    write_coco(tmp_path, table)
    dataset = load_dataset(tmp_path)
    assert [(instance.mask().sum(), instance.area) for instance in dataset[1].instances()] == [(16, 16.0), (0, 0.04)]
    assert dataset.faults == ()


@pytest.mark.parametrize("of", ["img{}".format, str, float], ids=["words", "digits", "floats"])
def test_ids_are_read_as_pycocotools_reads_them(tmp_path, of):
    table = coco_table()
    for entry in (*table["images"], *table["categories"], *table["annotations"]):
        for name in ("id", "image_id", "category_id"):
            if name in entry:
                entry[name] = of(entry[name])
    file = write_coco(tmp_path, table)
    dataset, theirs = load_dataset(tmp_path), COCO(str(file))
    assert dataset.faults == ()
    assert [len(sample.instances()) for sample in dataset] == [1, 1, 1]
    assert dataset.facts["category_ids"] == list(theirs.cats)
    assert [sample.id for sample in dataset] == [str(of(n)).removesuffix(".0") for n in (10, 11, 12)]
    (instance,) = dataset[1].instances()
    assert (dataset.classes[instance.category], dataset.facts["image_ids"]) == (
        "dog",
        "numbers" if of is float else "text",
    )
    assert len(dataset.facts["notes"]) == (of is float)


def test_ids_that_differ_by_kind_alone_are_no_two_samples(tmp_path):
    table = coco_table(2)
    table["images"].append(table["images"][0] | {"id": "10"})
    table["categories"].append({"id": "18"})
    write_coco(tmp_path, table)
    image, category = load_dataset(tmp_path).faults
    assert re.match("a second image of the id 10, at byte", image.reason)
    assert category.reason == "a category whose id is '18', which is no id or another's"


@pytest.mark.parametrize("value", [None, True, [1], {}, 1.5, float("nan"), "", "a\nb", "\ud800", 2**70, "x" * 300])
def test_what_is_no_id_is_named_in_one_line_and_all_else_is_read(tmp_path, value):
    table = coco_table()
    table["images"].append(table["images"][0] | {"id": value})
    table["annotations"] += [annotation(7, value), annotation(8, 10, category_id=value), annotation(value, 12)]
    table["categories"].append({"id": value})
    write_coco(tmp_path, table)
    dataset = load_dataset(tmp_path)
    assert len(dataset.faults) == 4
    assert all(len(fault.reason.splitlines()) == 1 and fault.reason.isprintable() for fault in dataset.faults)
    assert [len(sample.instances()) for sample in dataset] == [1, 1, 2]


def test_a_file_without_categories_is_one_fault_and_so_is_a_bad_image_with_annotations(tmp_path):
    table = coco_table()
    del table["categories"]
    write_coco(tmp_path, table)
    (fault,) = load_dataset(tmp_path).faults
    assert fault.reason == "it lists no `categories`, so none of its 3 annotations counts"
    table = coco_table()
    table["images"][1]["height"] = str(H)
    table["annotations"] += [annotation(8, 11), annotation(9, 11, category_id=5)]
    write_coco(tmp_path, table)
    (fault,) = load_dataset(tmp_path).faults
    assert fault.reason == f"image 11: its height and width are '{H}' and {W}"


def test_names_as_windows_writes_them_are_read_and_noted_once(tmp_path):
    table = coco_table()
    file = write_coco(tmp_path, table)
    for image in table["images"][:2]:
        image["file_name"] = ".\\" + image["file_name"]
    dump(file, table)
    dataset = load_dataset(tmp_path)
    assert good_and_bad(dataset, whole) == (["10", "11", "12"], [])
    assert dataset.facts["notes"] == [
        "file names with backslashes, read with /: 2; the first: " + repr(".\\000000000010.jpg")
    ]
    table["images"][0]["file_name"] = "..\\..\\x.jpg"
    dump(file, table)
    assert "leads out of" in the_one_bad(load_dataset(tmp_path))


def test_names_of_any_length_take_no_more_memory_than_the_file(tmp_path):
    table = coco_table(2)
    table["images"] += [{"id": n, "file_name": "x" * (50_000 if n == 100 else 1)} for n in range(100, 2000)]
    file = write_coco(tmp_path, coco_table(2))
    dump(file, table)
    index = read_index(file, tmp_path, lambda *_: "", classes=True)
    assert index.names.nbytes < file.stat().st_size


def test_a_checksum_is_had_of_files_whose_names_lead_elsewhere(tmp_path):
    table = coco_table()
    file = write_coco(tmp_path, table)
    table["images"][1]["file_name"] = "/etc/passwd"
    dump(file, table)
    assert len(load_dataset(tmp_path).checksum) == 64


def test_an_annotation_of_an_unknown_image_is_a_fault_and_every_image_is_read(tmp_path):
    table = coco_table()
    table["annotations"] += [annotation(7, 99), annotation(8, "11"), {"id": 9}]
    write_coco(tmp_path, table)
    dataset = load_dataset(tmp_path)
    assert [fault.reason for fault in dataset.faults] == [
        f"annotation {n} is of an unknown image, image_id {of}" for n, of in ((7, 99), (8, "'11'"), (9, None))
    ]
    assert len(good_and_bad(dataset, whole)[0]) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": None}, "its height and width are None and 16"),
        ({"height": 2**40}, f"its height and width are {2**40} and 16"),
        ({"file_name": None}, "the file name '' leads out of"),
        ({"file_name": "../val2017/000000000011.jpg"}, "leads out of"),
        ({"file_name": "/etc/passwd"}, "leads out of"),
        ({"height": H + 1}, "16 x 12 px, but its annotation says 16 x 13 px"),
    ],
)
def test_a_bad_entry_of_an_image_makes_that_sample_bad(tmp_path, change, message):
    table = coco_table()
    table["images"][1] |= change
    write_coco(tmp_path, table)
    photo(tmp_path / "coco/val2017/000000000011.jpg")
    dataset = load_dataset(tmp_path)
    assert message in the_one_bad(dataset)
    assert dataset.faults


def test_an_image_whose_size_is_not_the_annotated_one_is_bad(tmp_path):
    write_coco(tmp_path)
    path = photo(tmp_path / "coco/val2017/000000000011.jpg", (W, H))
    assert the_one_bad(load_dataset(tmp_path)) == f"{path}: 12 x 16 px, but its annotation says 16 x 12 px"


def test_missing_and_cut_images_are_bad_alone(tmp_path):
    write_coco(tmp_path, coco_table(4))
    missing, broken = (tmp_path / f"coco/val2017/{n:012d}.jpg" for n in (11, 12))
    missing.unlink()
    cut(broken)
    good, bad = good_and_bad(load_dataset(tmp_path), whole)
    assert good == ["10", "13"]
    assert bad[0] == f"{missing}: cannot be read as an image: No such file or directory"
    assert bad[1].startswith(f"{broken}: cannot be read as an image: ")


def test_images_without_a_number_and_second_ones_are_left_out_and_named(tmp_path):
    table = coco_table()
    table["images"] += [table["images"][0], {"id": [1]}, 3]
    write_coco(tmp_path, coco_table())
    dump(tmp_path / "coco/annotations/instances_val2017.json", table)
    dataset = load_dataset(tmp_path)
    assert [fault.reason.split(", at byte")[0] for fault in dataset.faults] == [
        "a second image of the id 10",
        "an image whose id is neither a whole number nor text: [1]",
        "an image whose id is neither a whole number nor text: None",
    ]
    assert len(good_and_bad(dataset, whole)[0]) == 3


def test_a_byte_order_mark_is_skipped_and_the_bytes_of_annotations_are_still_found(tmp_path):
    file = write_coco(tmp_path)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert good_and_bad(load_dataset(tmp_path), whole) == (["10", "11", "12"], [])


def test_another_file_of_the_same_layout_in_its_place_is_noticed(tmp_path):
    file = write_coco(tmp_path)
    dataset = load_dataset(tmp_path)
    file.write_text(file.read_text().replace('"image_id": 10', '"image_id": 12'))
    with pytest.raises(BadSample, match="it has changed since it was opened: another entry stands at byte"):
        dataset[0].instances()


@given(keep=st.floats(0, 0.999))
def test_an_annotation_file_cut_anywhere_is_refused_with_the_byte_it_ends_at(tmp_path_factory, keep):
    root = tmp_path_factory.mktemp("cut")
    file = write_coco(root, coco_table())
    size = len(cut(file, keep).read_bytes())
    with pytest.raises(BadDataset) as caught:
        load_dataset(root)
    message = re.fullmatch(rf"{file}: it is not JSON at byte ([\d,]+) of {size:,}.*", str(caught.value))
    assert message, str(caught.value)
    assert 0 <= int(message[1].replace(",", "")) <= size


def test_the_byte_named_is_where_the_damage_is(tmp_path):
    file = write_coco(tmp_path)
    text = file.read_bytes().replace(b"dog", "é".encode())
    position = text.index(b'"bbox"', len(text) // 2)
    file.write_bytes(text[:position] + b"?" + text[position + 1 :])
    with pytest.raises(BadDataset, match=rf"{file}: it is not JSON at byte {position:,} of {len(text):,}: "):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "it lists no `images`"),
        ('{"images": [], "annotations": []}', "it lists no `images`"),
        ('{"images": [1,]}', "a comma before the end"),
        ('{"images": [1] "a": 2}', "',' is missing"),
        ('{"images": [1]} x', "more follows the end"),
        ('{"images": [' + "1" * 5000 + "]}", "digits"),
        ('{"images": ' + "[" * 100_000, "nested too deeply"),
        ('{"images": [1], "images": [2]}', "a second 'images' in one object"),
        ('{"images": [1], 3: [2]}', "a name is no text"),
        ("3", "no object and no list"),
        ("", "at byte 0 of 0"),
    ],
)
def test_a_file_that_is_no_annotation_file_is_refused_in_a_line(tmp_path, content, message):
    write_coco(tmp_path, content)
    with pytest.raises(BadDataset, match=re.escape(message)) as caught:
        load_dataset(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_that_changed_while_it_was_in_use_is_said_to_have(tmp_path):
    file = write_coco(tmp_path)
    dataset = load_dataset(tmp_path)
    file.write_text("{}")
    with pytest.raises(BadSample, match="it has changed since it was opened"):
        dataset[0].instances()


def test_the_checksum_is_of_the_annotations_and_of_the_images_sizes(tmp_path):
    file = write_coco(tmp_path)
    before = load_dataset(tmp_path).checksum
    file.write_text(file.read_text() + " ")
    after = load_dataset(tmp_path).checksum
    photo(tmp_path / "coco/val2017/000000000011.jpg", (H + 8, W), seed=9)
    assert len({before, after, load_dataset(tmp_path).checksum}) == 3


def test_the_annotations_themselves_are_not_kept_in_memory(tmp_path):
    table = coco_table(1)
    table["annotations"] = [annotation(n, 10, segmentation=[POLYGON * 500]) for n in range(100)]
    file = write_coco(tmp_path, table)
    dataset = load_dataset(tmp_path)
    assert file.stat().st_size > 2_000_000
    assert len(pickle.dumps(dataset)) < 10_000
    assert len(dataset[0].instances()) == 100


def test_entityseg_has_one_class_and_takes_the_smaller_images_only_where_there_are_no_larger(tmp_path):
    table = coco_table()
    del table["categories"]
    for image in table["images"]:
        image["file_name"] = f"entity_01_11580/{image['file_name']}"
    for small in ("_lr", ""):
        dump(tmp_path / f"entityseg/annotations/entityseg_val{small}.json", table)
        for image in table["images"]:
            photo(tmp_path / f"entityseg/images{small}" / image["file_name"])
        dataset = open_dataset("entityseg", "val", str(tmp_path))
        assert (dataset.name, dataset.faults) == (f"EntitySeg{'-LR' * bool(small)} val", ())
        assert len(good_and_bad(dataset, whole)[0]) == 3
        assert (dataset.classes, dataset[0].instances()[0].category) == ((), 0)


@pytest.mark.data
def test_the_real_coco_images_and_masks_are_those_of_pycocotools():
    base = realdata("coco_train2017_free")
    dataset = coco_instances("COCO subset", "train", base / "instances.json", base / "images")
    theirs = COCO(str(base / "instances.json"))
    instances = [(sample, instance) for sample in dataset for instance in sample.instances()]
    assert (len(dataset), len(instances), sum(instance.crowd for _, instance in instances), dataset.faults) == (
        47,
        524,
        6,
        (),
    )
    for sample, instance in instances:
        entry = theirs.anns[int(instance.id)]
        assert sample.id == str(entry["image_id"])
        assert dataset.facts["category_ids"][instance.category] == entry["category_id"]
        np.testing.assert_array_equal(instance.mask(), theirs.annToMask(entry).astype(bool))
    assert all(sample.image().shape[:2] == sample.size for sample in dataset)


@pytest.mark.data
def test_real_annotations_without_their_images_have_no_faults():
    base = realdata("cocoapi_val2014_100")
    index = read_index(base / "instances_val2014_100.json", base, lambda *_: "", classes=True)
    assert (len(index), len(index.spans), index.faults) == (100, 839, ())
