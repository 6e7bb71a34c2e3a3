"""The suite ``masks`` from a user's files to a record, and COCO's with the boxes of its annotations."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from linbench.data.coco import coco_instances
from linbench.data.contract import InstanceSample, dataset
from linbench.data.image import stored_image
from linbench.metrics.iou import boundary_iou
from linbench.registry import load_plugin
from linbench.suites.accuracy import protocols
from linbench.suites.accuracy.coco_boxes import TrueBoxes, prompts_of
from linbench.suites.accuracy.masks import summarize
from tests.data.sets import annotation, dump, folder, photo, saved, square
from tests.goldens import golden
from tests.realdata import realdata
from tests.suites.accuracy.made import CLASSES, TOY, H, W, call, dis, only, records, without_times

PLUGINS = Path(__file__).parents[2] / "plugins"
ORACLE, OBJECTS = PLUGINS / "oracle.py", PLUGINS / "objects.py"
SQUASH = protocols.protocol(protocols.SQUASH, "oracle", 1024)
CPU = ("--random", "--threads", 1, "--device", "cpu")


def run(suite: str, results: Path, *more: object) -> Any:
    """``linbench run`` of the toy backbone with random weights on one thread."""
    toy = ("--plugin", TOY, "--backbone", "toy", "--res", 64)
    return call("run", "--suite", suite, "--results", results, *CPU, *toy, *more)


def run_oracle(suite: str, results: Path, *more: object) -> Any:
    """``linbench run`` of the segmenter whose masks are known beforehand."""
    oracle = ("--plugin", ORACLE, "--backbone", "oracle", "--protocol", "squash-1024", "--res", 1024)
    return call("run", "--suite", suite, "--results", results, *CPU, *oracle, *more)


@pytest.fixture
def answers() -> Any:
    """The table of the segmenter whose masks are known beforehand; emptied afterwards."""
    table = sys.modules[load_plugin(ORACLE)].ANSWERS
    yield table
    table.clear()


@pytest.fixture(autouse=True)
def plugins_leave() -> Iterator[None]:
    """A dataset that a plug-in registers is gone after the test."""
    yield
    dataset._entries.pop("halves", None)
    for name in [name for name in sys.modules if name.startswith("linbench_plugin_objects")]:
        del sys.modules[name]


def teach(answers: Any, image: np.ndarray, boxes: list[torch.Tensor], masks: list[np.ndarray]) -> None:
    """Let the segmenter answer these boxes of the model's input with these masks."""
    digest = sys.modules[load_plugin(ORACLE)].digest
    answers[digest(SQUASH.image(image))] = list(zip(boxes, map(torch.from_numpy, masks), strict=True))


def objects_file(path: Path, *masks: np.ndarray) -> Path:
    """An instance mask: the first mask has the label 1."""
    labels = np.zeros((H, W), np.uint8)
    for label, mask in enumerate(masks, 1):
        labels[mask] = label
    return saved(labels, path)


def left(width: int = 20) -> np.ndarray:
    return square(10, 3, width, (H, W))


def right(width: int = 20) -> np.ndarray:
    return square(10, 35, width, (H, W))


def mine(root: Path, objects: tuple[int, ...] = (1, 2)) -> tuple[str, ...]:
    """A user's images with so many objects each; the options that name them."""
    for number, count in enumerate(objects):
        photo(root / "im" / "deep" / f"{number}.jpg", (H, W), seed=number)
        objects_file(root / "gt" / "deep" / f"{number}_mask.png", *(left(), right())[:count])
    return "--images", str(root / "im"), "--masks", str(root / "gt")


def test_one_object_an_image_scores_as_the_suites_of_one_object_do(tmp_path: Path) -> None:
    base = dis(tmp_path / "data")
    assert run("dis", tmp_path / "dis", "--data", tmp_path / "data").exit_code == 0
    assert run("masks", tmp_path / "masks", "--images", base / "im", "--masks", base / "gt").exit_code == 0
    expected, record = only(tmp_path / "dis"), only(tmp_path / "masks")
    for name in ("miou", "mbiou"):
        assert record["metrics"][name] == expected["metrics"][name]
        assert record["metrics"][f"object_{name}"] == expected["metrics"][name]
    (entry,), (other,) = record["rounds"], expected["rounds"]
    assert (entry["scores"]["id"], entry["scores"]["iou"]) == (other["scores"]["id"], other["scores"]["iou"])
    assert entry["slices"] == other["slices"]


def test_every_object_is_scored_and_kept_with_the_id_of_its_image(tmp_path: Path, answers: Any) -> None:
    given = mine(tmp_path)
    predicted = {0: [left(10)], 1: [left(), right(5)]}
    for number, masks in predicted.items():
        truths = [left(), right()][: len(masks)]
        boxes = [SQUASH.box(truth.astype(np.uint8) * 255) for truth in truths]
        teach(answers, stored_image(tmp_path / "im" / "deep" / f"{number}.jpg"), boxes, masks)
    assert run_oracle("masks", tmp_path / "r", *given, "--name", "my-set").exit_code == 0
    record = only(tmp_path / "r")
    scores = record["rounds"][0]["scores"]
    iou = [[100 / 400], [1.0, 25 / 400]]
    assert (scores["id"], scores["object"]) == (["deep/0", "deep/1"], [[""], ["1", "2"]])
    assert (scores["object_iou"], scores["objects"]) == (iou, [1, 2])
    assert scores["object_biou"][1] == [1.0, boundary_iou(right(), right(5))]
    values = {name: metric["value"] for name, metric in record["metrics"].items()}
    assert values["miou"] == pytest.approx(100 * np.mean([np.mean(of_image) for of_image in iou]))
    assert values["object_miou"] == pytest.approx(100 * np.mean(np.concatenate(iou)))
    assert sum(part["miou"]["n"] for part in record["rounds"][0]["slices"]["size"].values()) == 3
    assert (
        record["metrics"]["object_miou"]["low"] <= values["object_miou"] <= record["metrics"]["object_miou"]["high"]
    )


def test_equal_scores_of_unequal_numbers_of_objects_have_an_interval_of_no_width() -> None:
    entry = {"id": "", "iou": 0.5, "biou": 0.25, "size": 9.0, "share": 0.1, "thinness": 1.0, "complexity": 1.3}
    rows = [{"id": str(count), "iou": 0.5, "biou": 0.25, "objects": [entry] * count} for count in (1, 2, 7)]
    for name, metric in summarize(rows, 0).metrics.items():
        value = 25.0 if name.endswith("mbiou") else 50.0
        assert [metric[part] for part in ("value", "low", "high", "n")] == [value, value, value, 3]


def test_the_name_of_the_user_stands_in_title_head_key_and_csv(tmp_path: Path) -> None:
    shown = run("masks", tmp_path / "r", *mine(tmp_path), "--name", "my-set")
    assert shown.stdout.splitlines()[0].startswith("Accuracy: my-set")
    assert "my-set mIoU" in shown.stdout and "my-set mBIoU" in shown.stdout
    assert max(len(line) for line in shown.stdout.splitlines() if not line.startswith("Table: ")) <= 80
    assert only(tmp_path / "r")["key"]["dataset"] == "my-set"
    assert "my-set" in (tmp_path / "r" / "accuracy.csv").read_text()


@pytest.mark.parametrize(("name", "note"), [("DIS-VD", "2 of 470 images of DIS-VD"), ("my-set", "")])
def test_a_part_of_a_published_set_says_so_in_run_record_and_table(tmp_path: Path, name: str, note: str) -> None:
    shown = run("masks", tmp_path / "r", *mine(tmp_path), "--name", name)
    assert only(tmp_path / "r")["rounds"][0]["notes"] == ([note] if note else [])
    assert (f"linbench: {note}\n" in shown.stderr) == bool(note)
    assert (f"Incomplete: {note}." in shown.stdout) == bool(note)


def test_masks_that_are_jpeg_files_are_noted_in_run_and_record(tmp_path: Path) -> None:
    photo(tmp_path / "im" / "a.jpg", (H, W))
    saved(left().astype(np.uint8) * 255, folder(tmp_path / "gt") / "a_mask.jpg")
    shown = run("masks", tmp_path / "r", "--images", tmp_path / "im", "--masks", tmp_path / "gt")
    note = "1 of 1 masks are JPEG files: read as grey, the object is above 128"
    assert only(tmp_path / "r")["rounds"][0]["notes"] == [note]
    assert f"linbench: {note}\n" in shown.stderr


def test_the_first_images_alone_are_evaluated_and_bad_files_are_counted_once(tmp_path: Path) -> None:
    given = mine(tmp_path / "whole", (1, 1, 2))
    assert run("masks", tmp_path / "r", *given, "--first", 2).exit_code == 0
    assert only(tmp_path / "r")["key"]["images"] == 2
    given = mine(tmp_path / "part", (1, 1, 2))
    (tmp_path / "part" / "gt" / "deep" / "0_mask.png").unlink()
    saved(square().astype(np.uint8), tmp_path / "part" / "gt" / "extra.png")
    assert run("masks", tmp_path / "s", *given).exit_code == 1
    record = only(tmp_path / "s")
    assert record["reason"].startswith("2 bad images or annotations were skipped, --max-bad allows 0")
    reasons = [fault["reason"] for fault in record["rounds"][0]["skipped"]]
    assert any("no mask of this name" in reason for reason in reasons)
    assert any(reason.startswith("a mask without an image") for reason in reasons)
    assert run("masks", tmp_path / "t", *given, "--max-bad", 2).exit_code == 0


def test_a_dataset_of_a_plugin_is_evaluated_and_checked(tmp_path: Path) -> None:
    for number in range(3):
        photo(tmp_path / "data" / "halves" / "val" / f"{number}.jpg", (H, W), seed=number)
    named = ("--plugin", OBJECTS, "--dataset", "halves", "--data", tmp_path / "data")
    assert run("masks", tmp_path / "r", *named).exit_code == 0
    record = only(tmp_path / "r")
    assert (record["key"]["dataset"], record["key"]["split"]) == ("halves", "val")
    assert record["rounds"][0]["scores"]["objects"] == [2, 2, 2]
    shown = call("data", "check", "halves", "--plugin", OBJECTS, "--data", tmp_path / "data")
    assert (shown.exit_code, "halves, val: 3 images, 6 masks, ok" in shown.stdout) == (0, True)


def test_published_datasets_with_objects_are_evaluated_and_those_without_refused(tmp_path: Path) -> None:
    dis(tmp_path)
    assert run("masks", tmp_path / "r", "--dataset", "dis", "--data", tmp_path).exit_code == 0
    assert only(tmp_path / "r")["rounds"][0]["notes"] == ["4 of 470 images of DIS-VD"]
    assert run("masks", tmp_path / "s", "--dataset", "imagenet", "--data", "shapes", "--first", 2).exit_code == 1
    assert "its samples have no objects" in only(tmp_path / "s")["reason"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "--images is missing: give --images DIR --masks DIR, or --dataset NAME"),
        (("--images", "x"), "--masks is missing"),
        (("--images", "x", "--masks", "y"), "--images x: no such folder"),
        (("--images", ".", "--masks", "y"), "--masks y: no such folder"),
        (("--images", "x", "--dataset", "dis"), "--images x beside --dataset dis: give one of them"),
        (("--images", "x", "--masks", "y", "--data", "z"), "--data z: it goes with --dataset NAME"),
        (("--dataset", "diss"), "nearest are dis"),
        (("--images", ".", "--masks", ".", "--name", "shapes"), "--name shapes: this is the name of the embedded"),
        (("--images", ".", "--masks", ".", "--first", "0"), "--first 0: at least 1 is allowed"),
        (("--images", ".", "--masks", ".", "--first", "x"), "--first x: write a whole number"),
    ],
)
def test_wrong_options_of_masks_are_refused_in_one_line(tmp_path: Path, more: Any, message: str) -> None:
    shown = run("masks", tmp_path / "r", *more)
    assert shown.exit_code == 2 and message in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1
    assert not records(tmp_path / "r")


def user_coco(root: Path, **changes: Any) -> tuple[str, ...]:
    """A user's file in COCO's format with three objects and a crowd; the options that name it."""
    photo(root / "photos" / "a.jpg", (H, W))
    masks = [left(), right()]
    boxes = [[3, 10, 20, 20], [35, 10, 20, 20]]
    pairs = enumerate(zip(masks, boxes, strict=True), 1)
    entries = [annotation(n, 1, mask, bbox=box, area=400.0) for n, (mask, box) in pairs]
    entries.append(annotation(3, 1, square(1, 1, 5, (H, W)), bbox=[1, 1, 5, 5], iscrowd=1))
    images = [{"id": 1, "file_name": "a.jpg", "height": H, "width": W}]
    categories = [{"id": number, "name": name} for number, name in CLASSES.items()]
    content = {"images": images, "annotations": entries, "categories": categories} | changes
    return "--annotations", str(dump(root / "mine.json", content)), "--images", str(root / "photos")


def test_a_users_coco_file_is_evaluated_from_its_boxes_under_its_name(tmp_path: Path) -> None:
    given = user_coco(tmp_path)
    shown = run("coco", tmp_path / "r", *given, "--boxes", "ground-truth", "--name", "my-set")
    assert shown.exit_code == 0
    record = only(tmp_path / "r")
    key = record["key"]
    assert (key["dataset"], key["box_source"], key["box_checksum"]) == ("my-set", "ground truth", "")
    assert record["rounds"][0]["scores"]["objects"] == [2]
    assert "my-set mask AP" in shown.stdout and "true boxes, " in shown.stdout


def test_boxes_of_annotations_and_of_a_detector_never_share_a_column(tmp_path: Path) -> None:
    given = user_coco(tmp_path)
    detector = dump(
        tmp_path / "boxes.json", [{"image_id": 1, "category_id": 18, "bbox": [3, 10, 20, 20], "score": 0.5}]
    )
    for boxes in ("ground-truth", detector):
        shown = run("coco", tmp_path / "r", *given, "--boxes", boxes)
        assert shown.exit_code == 0
    assert len({record["key"]["box_source"] for record in records(tmp_path / "r")}) == 2
    table = (tmp_path / "r" / "accuracy.md").read_text()
    assert table.count("mask AP") == 2 and table.count("true boxes") == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--annotations", "a.json"), "--annotations a.json: --images DIR is missing"),
        (("--annotations", "a.json", "--images", 3), "--annotations a.json: --images DIR is missing"),
        (("--annotations", "a.json", "--images", "."), "--boxes is missing: give ground-truth, or a detector's"),
        (("--annotations", "a.json", "--images", ".", "--boxes", "ground-truth"), "a.json: no such file"),
        (("--images", "photos"), "--images photos: write a whole number, or name the annotations"),
        (("--name", "x"), "--name x: it goes with --annotations FILE --images DIR"),
        (("--annotations", "a.json", "--images", ".", "--data", "z"), "--data z beside --annotations"),
    ],
)
def test_wrong_options_of_coco_are_refused_in_one_line(tmp_path: Path, more: Any, message: str) -> None:
    shown = run("coco", tmp_path / "r", *more)
    assert shown.exit_code == 2 and message in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1


def test_a_folder_for_a_suite_that_counts_images_is_refused(tmp_path: Path) -> None:
    for suites in ("dis,coco", "coco,dis"):
        shown = run(suites, tmp_path / "r", *user_coco(tmp_path), "--boxes", "ground-truth")
        assert shown.exit_code == 2 and "write a whole number" in shown.stderr


def test_an_object_without_a_stated_box_is_prompted_by_that_of_its_mask(tmp_path: Path) -> None:
    user_coco(tmp_path, annotations=[annotation(1, 1, left(), bbox=None)])
    data = coco_instances("mine", "all", tmp_path / "mine.json", tmp_path / "photos")
    (sample,) = data
    truths = [(instance, instance.mask()) for instance in sample.instances()]
    (box,), _ = TrueBoxes(data).of_image(sample, truths)
    assert (box.box, box.score, box.category) == ((3, 10, 20, 20), 1.0, 18)


@pytest.mark.data
def test_davis_gives_the_stored_scores_when_a_plugin_predicts_the_masks_of_osvos(
    tmp_path: Path, answers: Any
) -> None:
    meta, arrays = golden("davis_osvos_metrics")
    frames = sorted((realdata("davis2016_val") / "images").glob("*.jpg"))
    for k, (name, frame) in enumerate(zip(meta["pair_names"], frames, strict=True)):
        truth, predicted = (
            np.unpackbits(arrays[f"in_{which}_{k:02d}"], axis=1)[:, :854].astype(np.bool_) for which in ("gt", "pred")
        )
        image = folder((tmp_path / "JPEGImages" / name).parent) / f"{Path(name).name}.jpg"
        image.symlink_to(frame)
        grey = truth.astype(np.uint8) * 255
        saved(grey, tmp_path / "Annotations" / f"{name}.png")
        teach(answers, stored_image(image), [SQUASH.box(grey)], [predicted])
    given = ("--images", tmp_path / "JPEGImages", "--masks", tmp_path / "Annotations", "--name", "DAVIS 2016")
    assert run_oracle("masks", tmp_path / "r", *given).exit_code == 0
    record = only(tmp_path / "r")
    scores = record["rounds"][0]["scores"]
    assert (scores["id"], record["key"]["dataset"]) == (meta["pair_names"], "DAVIS 2016")
    assert scores["iou"] == pytest.approx(arrays["out_iou"], abs=1e-6)
    assert scores["biou"] == pytest.approx(arrays["out_biou"], abs=1e-6)
    values = {name: round(metric["value"], 2) for name, metric in record["metrics"].items()}
    assert (values["miou"], values["mbiou"]) == (73.16, 65.35)


def real_coco() -> tuple[Path, dict[str, Any], Any]:
    base = realdata("coco_train2017_free")
    truth = json.loads((base / "instances.json").read_text())
    return base, truth, coco_instances("free", "all", base / "instances.json", base / "images")


@pytest.mark.data
def test_the_boxes_of_real_annotations_are_those_of_the_file() -> None:
    _, truth, data = real_coco()
    stated: dict[str, list[Any]] = {str(image["id"]): [] for image in truth["images"]}
    for entry in truth["annotations"]:
        if not entry["iscrowd"]:
            stated[str(entry["image_id"])].append((entry["bbox"], entry["category_id"]))
    source = TrueBoxes(data)
    count = 0
    for sample in data:
        boxes, faults = prompts(source, sample)
        assert faults == []
        assert [box.category for box in boxes] == [category for _, category in stated[sample.id]]
        for box, (bbox, _) in zip(boxes, stated[sample.id], strict=True):
            assert box.box == pytest.approx(bbox, abs=1e-9)
            assert box.score == 1.0
        count += len(boxes)
    assert count == 518


def prompts(source: TrueBoxes, sample: InstanceSample) -> tuple[Any, Any]:
    truths = [(instance, instance.mask()) for instance in sample.instances()]
    boxes, _, faults = prompts_of(source, sample, truths, sample.size or (0, 0))
    return boxes, faults


@pytest.mark.data
def test_perfect_masks_of_real_annotations_have_an_ap_of_1(tmp_path: Path, answers: Any) -> None:
    base, _, data = real_coco()
    for sample in data:
        objects = [(instance, instance.mask()) for instance in sample.instances() if not instance.crowd]
        if objects:
            boxes = torch.tensor([instance.box for instance, _ in objects], dtype=torch.float32)
            inputs = list(SQUASH.boxes(boxes, sample.size or (0, 0)))
            teach(answers, sample.image(), inputs, [mask for _, mask in objects])
    given = ("--annotations", base / "instances.json", "--images", base / "images", "--boxes", "ground-truth")
    assert run_oracle("coco", tmp_path / "r", *given).exit_code == 0
    metrics = only(tmp_path / "r")["metrics"]
    assert {metrics[name]["value"] for name in ("map", "map50", "map75", "mbap")} == {100.0}


def test_the_same_files_give_the_same_record_again(tmp_path: Path) -> None:
    given = mine(tmp_path)
    for results in ("r", "s"):
        assert run("masks", tmp_path / results, *given).exit_code == 0
    first, second = (without_times(only(tmp_path / results)) for results in ("r", "s"))
    assert first["rounds"] == second["rounds"] and first["key"] == second["key"]
