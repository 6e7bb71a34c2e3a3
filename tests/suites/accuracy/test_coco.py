"""The suite ``coco`` on files with faults: what pycocotools evaluates counts, and the rest costs itself, once."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from linbench.coco.rle import encode
from linbench.data.coco import coco_instances
from linbench.data.roots import open_dataset
from linbench.metrics.coco import coco_metrics
from linbench.suites.accuracy.coco import _annotation, _means, _object, _truths
from linbench.suites.accuracy.coco_summary import summarize
from tests.data.sets import annotation, square
from tests.metrics.masks import silence
from tests.realdata import realdata
from tests.suites.accuracy.made import H, W, call, coco, dis, mask, only, records, run, write_coco


def clean_record(root: Path) -> dict[str, Any]:
    """The record of the same set without a fault, in a folder of its own: a process keeps an opened set."""
    write_coco(root, *coco(root))
    run("coco", root, root / "r")
    return only(root / "r")


TINY = [[5.1, 5.1, 5.3, 5.1, 5.3, 5.3, 5.1, 5.3]]
RECTANGLE = [4.0, 6.0, 20.0, 6.0, 20.0, 22.0, 4.0, 22.0]


def unusual() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A file with all that pycocotools evaluates although it is odd, and detections that find most of it."""
    rng = np.random.default_rng(3)
    images = [{"id": f"img{n}", "file_name": f"{n}.jpg", "height": H, "width": W} for n in range(1, 7)]
    annotations, detections = [], []
    for n in range(1, 7):
        truth = mask(n)
        known = {"image_id": f"img{n}", "category_id": 18.0}
        annotations.append(annotation(10 + n, 0, truth, area=float(truth.sum())) | known)
        for score in (0.9, 0.5, 0.5):
            near = np.roll(truth, rng.integers(-3, 4, 2), axis=(0, 1))
            detections.append({**known, "score": score, "segmentation": encode(near)})
    tiny = annotation(90, 0, segmentation=TINY, area=0.04, bbox=[5.1, 5.1, 0.2, 0.2], image_id="img1")
    empty = annotation(91, 0, np.zeros((H, W), bool), area=9.0, image_id="img2")
    parts = annotation(92, 0, segmentation=[RECTANGLE, [50.0, 40.0, 60.0, 45.0]], area=256.0, image_id="img3")
    annotations += [tiny, empty, parts]
    annotations[1] |= {"bbox": []}
    annotations[2] |= {"bbox": [1, 2, -3, 4]}
    annotations[3] |= {"iscrowd": True}
    annotations[4] |= {"iscrowd": 0.0, "category_id": 3}
    annotations.append(annotation(93, 0, square(size=(H, W)), image_id="img1", category_id=77))
    annotations.append(annotation(94, 0, square(size=(H, W)), image_id="elsewhere"))
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 18, "name": "dog"}, {"id": 3.0, "name": "car"}],
    }, detections


def official(annotations: dict[str, Any], detections: list[dict[str, Any]]) -> list[float]:
    with silence():
        truth = COCO()
        truth.dataset = copy.deepcopy(annotations)
        truth.createIndex()
        results = truth.loadRes(copy.deepcopy(detections))
        for one in results.anns.values():  # in the suite a detection's size is its mask's
            one["area"] = float(COCO.annToMask(results, one).sum())
        evaluation = COCOeval(truth, results, "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return list(evaluation.stats)


def rows_of(dataset: Any, detections: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the suite keeps of images whose masks are given instead of a model's."""
    ids = dataset.facts["category_ids"]
    rows = []
    for sample in dataset:
        found = [
            {name: one[name] for name in ("category_id", "score", "segmentation")}
            for one in detections
            if one["image_id"] == sample.id
        ]
        truths, faults = _truths(sample)
        assert faults == []
        masks = [np.zeros((H, W), bool) for _ in found]
        objects = [_object(one.category, truth, [], masks, found) for one, truth in truths if not one.crowd]
        annotations = [_annotation(one, ids[one.category], truth) for one, truth in truths]
        parts = {"size": [H, W], "annotations": annotations, "detections": found, "objects": objects}
        rows.append({"id": sample.id, **parts, **_means(objects)})
    return json.loads(json.dumps(rows, allow_nan=False))


def test_all_twelve_numbers_are_pycocotools_own_on_a_file_with_what_it_reads(tmp_path: Path) -> None:
    coco(tmp_path, 6)
    truth, found = unusual()
    write_coco(tmp_path, truth, [])
    dataset = open_dataset("coco", "val", str(tmp_path))
    summed = summarize(dataset.facts["category_ids"], str, rows_of(dataset, found), 0)
    ours = [metric["value"] for name, metric in summed.metrics.items() if not name.startswith(("mb", "b"))]
    theirs = [100 * value for value in official(truth, found) if value != -1]
    assert ours == pytest.approx(theirs, abs=1e-10)
    assert 5 < ours[0] < 60
    assert sum(summed.scores["objects"]) == 8
    assert sorted(fault.reason.split(",")[0] for fault in dataset.faults) == [
        "annotation 93",
        "annotation 94 is of an unknown image",
    ]


def test_an_object_without_a_pixel_counts_as_missed_and_its_image_stays(tmp_path: Path) -> None:
    truth, found = coco(tmp_path)
    truth["annotations"].append(annotation(90, 1, segmentation=TINY, area=0.04))
    write_coco(tmp_path, truth, found)
    done = run("coco", tmp_path, tmp_path / "r")
    assert done.exit_code == 0, done.output
    record = only(tmp_path / "r")
    (entry,) = record["rounds"]
    assert (entry["scores"]["id"], entry["skipped"]) == (["1", "2", "3"], [])
    assert entry["scores"]["objects"] == [2, 1, 1]
    assert entry["slices"]["thinness"]["empty"]["miou"]["value"] == 0


@pytest.mark.parametrize("image", [None, [1], "1", 1.5, {"a": 1}])
def test_an_annotation_of_no_image_is_one_fault_and_the_rest_counts(tmp_path: Path, image: Any) -> None:
    truth, found = coco(tmp_path)
    clean = clean_record(tmp_path / "clean")
    truth["annotations"].append(annotation(90, 1) | {"image_id": image})
    if image is None:
        del truth["annotations"][-1]["image_id"]
    write_coco(tmp_path, truth, found)
    assert run("coco", tmp_path, tmp_path / "r", "--max-bad", 1).exit_code == 0
    record = only(tmp_path / "r")
    (fault,) = record["rounds"][0]["skipped"]
    assert fault["reason"].startswith("annotation 90 is of an unknown image")
    assert record["metrics"] == clean["metrics"]


@pytest.mark.parametrize(
    "change",
    [
        lambda truth: truth["images"].append(dict(truth["images"][0])),
        lambda truth: truth.pop("categories"),
        lambda truth: truth["images"][0].update(height="48"),
        lambda truth: truth["annotations"][0].update(iscrowd="0"),
        lambda truth: truth["annotations"][0].update(area=-1),
        lambda truth: truth["annotations"][0].update(segmentation={"size": [H, W], "counts": [3, 4]}),
    ],
    ids=["a second picture", "no categories", "a height in text", "a crowd in text", "an area", "too few runs"],
)
def test_each_fault_counts_once(tmp_path: Path, change: Any) -> None:
    truth, found = coco(tmp_path)
    change(truth)
    write_coco(tmp_path, truth, [] if "categories" not in truth else found)
    run("coco", tmp_path, tmp_path / "r", "--max-bad", 1)
    (entry,) = only(tmp_path / "r")["rounds"]
    assert len(entry["skipped"]) == 1, entry["skipped"]


def test_a_mask_that_cannot_be_decoded_costs_its_object_and_not_its_image(tmp_path: Path) -> None:
    truth, found = coco(tmp_path)
    clean = clean_record(tmp_path / "clean")
    truth["annotations"].append(annotation(90, 1, segmentation={"size": [H, W], "counts": "~~"}))
    write_coco(tmp_path, truth, found)
    assert run("coco", tmp_path, tmp_path / "r", "--max-bad", 1).exit_code == 0
    record = only(tmp_path / "r")
    (fault,) = record["rounds"][0]["skipped"]
    assert "annotation 90, of image 1: the compressed run lengths hold characters that none have" in fault["reason"]
    assert record["metrics"] == clean["metrics"]


NO_OBJECT = {
    "the first image is empty": (lambda all_: all_.pop(0), ("--images", 1), "no object counts in the 1 images"),
    "crowds alone": (
        lambda all_: [one.update(iscrowd=1) for one in all_],
        (),
        "in the 3 images, which have 3 crowds",
    ),
    "no annotation": (lambda all_: all_.clear(), (), "in the 3 images, which have 0 crowds"),
    "areas beyond COCO's": (lambda all_: [one.update(area=1e12) for one in all_], (), "and 3 that COCO ignores"),
}


@pytest.mark.parametrize("name", NO_OBJECT)
def test_without_an_object_the_record_says_so_and_the_next_suite_runs(tmp_path: Path, name: str) -> None:
    change, more, said = NO_OBJECT[name]
    truth, found = coco(tmp_path)
    change(truth["annotations"])
    write_coco(tmp_path, truth, found)
    dis(tmp_path)
    done = run("coco,dis", tmp_path, tmp_path / "r", *more)
    assert done.exit_code == 1
    of = {record["key"]["suite"]: record for record in records(tmp_path / "r")}
    assert (of["coco"]["status"], of["coco"]["metrics"], of["dis"]["status"]) == ("failed", {}, "ok")
    assert "AP is undefined: no object counts" in of["coco"]["reason"]
    assert said in of["coco"]["reason"]
    page, paper = tmp_path / "page.html", tmp_path / "paper"
    for command in (("report", "--html", page), ("paper", "--out", paper), ("choose", "--metric", "coco_map")):
        done = call(*command, "--results", tmp_path / "r")
        assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    assert page.stat().st_size
    assert "AP is undefined" in call("report", "--results", tmp_path / "r").output


def test_a_detector_without_any_box_gives_ap_zero(tmp_path: Path) -> None:
    truth, _ = coco(tmp_path)
    write_coco(tmp_path, truth, [])
    assert run("coco", tmp_path, tmp_path / "r").exit_code == 0
    assert only(tmp_path / "r")["metrics"]["map"]["value"] == 0


@pytest.mark.data
def test_on_real_annotations_the_summary_of_rows_has_the_numbers_of_the_file() -> None:
    base = realdata("cocoapi_val2014_100")
    file = base / "instances_val2014_100.json"
    found = json.loads((base / "instances_val2014_fakesegm100_results.json").read_text())
    dataset = coco_instances("COCO", "val", file, base)
    ids = dataset.facts["category_ids"]
    rows = []
    for sample in dataset:
        annotations = [_annotation(one, ids[one.category], one.mask()) for one in sample.instances()]
        mine = [one for one in found if str(one["image_id"]) == sample.id]
        parts = [{name: one[name] for name in ("category_id", "score", "segmentation")} for one in mine]
        nothing = {"objects": [], "iou": None, "biou": None}
        rows.append(
            {"id": sample.id, "size": sample.size, "annotations": annotations, "detections": parts, **nothing}
        )
    summed = summarize(ids, int, rows, 0)
    content = json.loads(file.read_text())
    for iou, prefix in (("segm", ""), ("boundary", "b")):
        expected = coco_metrics(content, found, iou)
        assert summed.metrics[f"m{prefix}ap"]["value"] == 100 * expected["map"]
        assert summed.metrics[f"{prefix}ar_l"]["value"] == 100 * expected["ar_l"]


@pytest.mark.parametrize("of", ["img{}".format, str, float], ids=["words", "digits", "floats"])
def test_ids_of_any_kind_give_the_numbers_of_whole_numbers(tmp_path: Path, of: Any) -> None:
    truth, found = coco(tmp_path)
    clean = clean_record(tmp_path / "clean")
    for one in truth["images"]:
        one["id"] = of(one["id"])
    for one in (*truth["annotations"], *found):
        one["image_id"] = of(one["image_id"])
    write_coco(tmp_path, truth, found)
    assert run("coco", tmp_path, tmp_path / "r").exit_code == 0
    record = only(tmp_path / "r")
    assert record["metrics"] == clean["metrics"]
    assert record["rounds"][0]["skipped"] == []
    if of is float:
        assert record["rounds"][0]["scores"] == clean["rounds"][0]["scores"]
