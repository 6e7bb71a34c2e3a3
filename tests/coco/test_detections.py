"""A detector's boxes: of which image, in which order, and which of them are none."""

import json
import re

import pytest

from linbench.coco.detections import Detection, read_results
from tests.data.sets import cut, dump
from tests.realdata import realdata


def entry(image=1, **other):
    return {"image_id": image, "category_id": 18, "bbox": [1, 2.5, 3, 4], "score": 0.5} | other


def test_boxes_are_found_by_image_and_keep_the_order_of_the_file(tmp_path):
    scores = [(3, 0.9), (1, 0.4), (2**40, 1), (3, 0.1)]
    results = read_results(dump(tmp_path / "boxes.json", [entry(image, score=score) for image, score in scores]))
    assert len(results) == 4
    assert [detection.score for detection in results.of_image(3)] == [0.9, 0.1]
    assert results.of_image(1) == [Detection((1.0, 2.5, 3.0, 4.0), 0.4, 18, 1)]
    assert [detection.index for detection in results.of_image(2**40)] == [2]
    assert results.of_image(2) == []


def test_the_order_is_kept_however_many_there_are_and_however_they_are_mixed(tmp_path):
    results = read_results(dump(tmp_path / "boxes.json", [entry(n % 3, score=n) for n in range(300)]))
    assert [detection.score for detection in results.of_image(1)] == list(range(1, 300, 3))


def test_an_image_is_found_by_the_text_of_its_id_however_it_is_written(tmp_path):
    results = read_results(dump(tmp_path / "boxes.json", [entry(1), entry(1.0), entry("1", id=None), entry("img1")]))
    assert ([detection.index for detection in results.of_image("1")], results.of_image(1)) == (
        [0, 1, 2],
        results.of_image("1"),
    )
    assert ([detection.index for detection in results.of_image("img1")], results.faults) == ([3], ())


def test_an_empty_list_has_no_boxes(tmp_path):
    results = read_results(dump(tmp_path / "boxes.json", []))
    assert (len(results), results.of_image(1), results.faults) == (0, [], ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": [1, float("nan"), 3, 4]}, r"bbox \[1, nan, 3, 4\] is not finite"),
        ({"bbox": [1, 2, 3]}, r"is not four numbers"),
        ({"bbox": [1, 2, -3, 4]}, r"is reversed"),
        ({"bbox": None}, "no bbox"),
        ({"score": float("nan")}, "score nan is no finite number"),
        ({"score": True}, "score True is no finite number"),
        ({"score": "high"}, "score 'high' is no finite number"),
        ({"image_id": [1]}, r"image_id \[1\] is neither a whole number nor text"),
        ({"image_id": 1.5}, "image_id 1.5 is neither a whole number nor text"),
        ({"category_id": None}, "category_id None is neither a whole number nor text"),
        ({"id": 7}, "a second detection of this id"),
    ],
)
def test_a_bad_detection_is_left_out_and_named_by_its_place(tmp_path, change, message):
    file = dump(tmp_path / "boxes.json", [entry(id=7), entry(1) | change, entry(2)])
    results = read_results(file)
    assert (len(results.of_image(1)), len(results.of_image(2))) == (1, 1)
    (fault,) = results.faults
    assert fault.file == str(file)
    assert re.search(message, fault.reason), fault.reason
    position = file.read_text().index("{", 5)
    assert ("id" in change) or f"at byte {position:,}" in fault.reason


def test_a_file_that_is_cut_or_no_list_is_refused_with_the_byte(tmp_path):
    file = dump(tmp_path / "boxes.json", [entry(n) for n in range(50)])
    cut(file)
    size = file.stat().st_size
    with pytest.raises(ValueError, match=rf"^{file}: it is not JSON at byte [\d,]+ of {size:,} \(it ends in the "):
        read_results(file)
    dump(file, {"annotations": [entry()]})
    with pytest.raises(ValueError, match="an object with `annotations`, not a list"):
        read_results(file)


def test_the_checksum_is_of_the_files_bytes(tmp_path):
    import hashlib

    file = dump(tmp_path / "boxes.json", [entry()])
    assert read_results(file).checksum == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.data
def test_every_real_detection_of_coco_is_read():
    file = realdata("cocoapi_val2014_100") / "instances_val2014_fakebbox100_results.json"
    results = read_results(file)
    theirs = json.loads(file.read_text())
    assert (len(results), results.faults) == (len(theirs), ())
    for image in {detection["image_id"] for detection in theirs}:
        expected = [
            (tuple(map(float, detection["bbox"])), detection["score"])
            for detection in theirs
            if detection["image_id"] == image
        ]
        assert [(detection.box, detection.score) for detection in results.of_image(image)] == expected
