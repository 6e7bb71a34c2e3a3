"""The suites from files to records: scores that are computed here anew, and bad input that costs only itself."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from linbench import build_classifier, build_sam
from linbench.coco.rle import encode
from linbench.data.image import read_image
from linbench.metrics.iou import boundary_iou
from linbench.models.checkpoint import About, save
from linbench.models.sam import Prompts
from linbench.models.segmenter import load_segmenter
from linbench.registry import load_plugin
from linbench.suites import suite
from linbench.suites.accuracy.options import SegmenterOptions
from linbench.suites.accuracy.single_object import build_task
from tests.data.sets import annotation, cut, photo, saved, square
from tests.realdata import realdata
from tests.suites.accuracy.made import (
    TOY,
    H,
    W,
    ade20k,
    call,
    coco,
    dis,
    imagenet,
    mask,
    only,
    records,
    run,
    write_coco,
)


def segmenter():  # type: ignore[no-untyped-def]
    load_plugin(TOY)
    torch.set_num_threads(1)
    return load_segmenter("toy", None, image_size=64)


def test_dis_gives_the_scores_that_predict_gives_on_the_boxes_of_the_masks(tmp_path: Path) -> None:
    folder = dis(tmp_path)
    assert run("dis", tmp_path, tmp_path / "r").exit_code == 0
    record = only(tmp_path / "r")
    expected = []
    for number in range(4):
        rows, columns = np.nonzero(mask(number))
        box = [columns.min(), rows.min(), columns.max(), rows.max()]
        picture = read_image(folder / "im" / f"p{number:02}.jpg")
        (answer,) = segmenter().predict(picture, Prompts(boxes=torch.tensor([box], dtype=torch.float32)))
        found = answer.masks[0]
        iou = np.logical_and(found, mask(number)).sum() / np.logical_or(found, mask(number)).sum()
        expected.append((iou, boundary_iou(found, mask(number))))
    (entry,) = record["rounds"]
    assert list(zip(entry["scores"]["iou"], entry["scores"]["biou"], strict=True)) == expected
    assert record["metrics"]["miou"]["value"] == pytest.approx(100 * np.mean([iou for iou, _ in expected]))
    assert record["metrics"]["miou"]["low"] <= record["metrics"]["miou"]["value"] <= record["metrics"]["miou"]["high"]
    assert entry["scores"]["id"] == ["p00", "p01", "p02", "p03"]
    assert {len(column) for column in entry["scores"].values()} == {4}
    for kind in ("size", "share", "thinness", "complexity"):
        assert sum(part["miou"]["n"] for part in entry["slices"][kind].values()) == 4
    key = record["key"]
    conditions = (key["protocol"], key["dataset"], key["box_source"], key["images"])
    assert conditions == ("keep-aspect", "DIS-VD", "ground truth", 4)
    assert key["checkpoint"] == "random-0"
    assert record["environment"]["checkpoint"] == {"random": True, "seed": 0}


def test_coco_gives_pycocotools_numbers_on_the_masks_with_the_detectors_score_and_class(tmp_path: Path) -> None:
    truth, found = coco(tmp_path)
    model = segmenter()
    masks = []
    for one in found:
        x, y, w, h = one["bbox"]
        picture = read_image(tmp_path / "coco" / "val2017" / f"{one['image_id']}.jpg")
        (answer,) = model.predict(picture, Prompts(boxes=torch.tensor([[x, y, x + w, y + h]], dtype=torch.float32)))
        masks.append(answer.masks[0])
    # the first object is what the model says to the first box, but for a corner: an AP that is not 0
    near = masks[0].copy()
    near[:3, :3] ^= True
    truth["annotations"][0] |= annotation(11, 1, near, area=float(near.sum()))
    write_coco(tmp_path, truth, found)
    assert run("coco", tmp_path, tmp_path / "r").exit_code == 0
    record = only(tmp_path / "r")

    api = COCO()
    api.dataset = json.loads((tmp_path / "coco/annotations/instances_val2017.json").read_text())
    api.createIndex()
    results = [
        {k: one[k] for k in ("image_id", "category_id", "score")} | {"segmentation": encode(its)}
        for one, its in zip(found, masks, strict=True)
    ]
    evaluation = COCOeval(api, api.loadRes(results), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    values = {name: metric["value"] for name, metric in record["metrics"].items()}
    assert values["map"] == pytest.approx(100 * evaluation.stats[0], abs=1e-9)
    assert values["map"] > 10
    assert values["map50"] == pytest.approx(100 * evaluation.stats[1], abs=1e-9)
    assert values["ar100"] == pytest.approx(100 * evaluation.stats[8], abs=1e-9)
    assert 0 < values["mbap"] <= values["map"]
    assert record["key"]["box_source"] == "coco_instances_results_vitdet.json"
    assert len(record["key"]["box_checksum"]) == 64
    (entry,) = record["rounds"]
    assert entry["scores"]["id"] == ["1", "2", "3"]
    assert entry["scores"]["found50"][0] == 1
    best = np.logical_and(masks[0], near).sum() / np.logical_or(masks[0], near).sum()
    assert entry["scores"]["iou"][0] == pytest.approx(best)


def test_an_image_that_the_detector_has_no_box_of_counts_as_missed(tmp_path: Path) -> None:
    truth, found = coco(tmp_path)
    write_coco(tmp_path, truth, [one for one in found if one["image_id"] != 2])
    assert run("coco", tmp_path, tmp_path / "r").exit_code == 0
    (entry,) = only(tmp_path / "r")["rounds"]
    assert entry["scores"]["objects"] == [1, 1, 1]
    assert entry["scores"]["iou"][1] == 0.0


def test_imagenet_gives_the_answers_of_the_classifier_on_torchvisions_centre_crop(tmp_path: Path) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    folder = imagenet(tmp_path)
    load_plugin(TOY)
    assert run("imagenet", tmp_path, tmp_path / "r").exit_code == 0
    steps = transforms.Compose(
        [
            transforms.Resize(int(64 / 0.875), transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(64),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    from PIL import Image

    torch.manual_seed(0)
    model = build_classifier("toy", image_size=64, num_classes=2).eval()
    (entry,) = only(tmp_path / "r")["rounds"]
    for name, label, answer, top1 in zip(
        *(entry["scores"][column] for column in ("id", "label", "answer", "top1")), strict=True
    ):
        (file,) = folder.glob(f"*/{Path(name).name.removesuffix('.JPEG')}.JPEG")
        with torch.inference_mode():
            logits = model(steps(Image.open(file).convert("RGB"))[None])[0]
        assert answer == int(logits.argmax())
        assert label == int(file.parent.name[-1])
        assert top1 == float(answer == label)


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (100, 37), (37, 100), (500, 333)])
def test_the_centre_crop_is_torchvisions_to_the_last_bit(size: tuple[int, int]) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    from PIL import Image

    from linbench.suites.accuracy.imagenet import centre_crop

    picture = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    steps = transforms.Compose(
        [
            transforms.Resize(256, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    assert torch.equal(centre_crop(picture, 224), steps(Image.fromarray(picture))[None])


def test_bad_pictures_and_masks_cost_only_themselves_and_fail_the_record_unless_allowed(tmp_path: Path) -> None:
    folder = dis(tmp_path, 8)
    (folder / "gt" / "p01.png").unlink()
    cut(folder / "im" / "p02.jpg")
    saved(np.full((H, W + 1), 255, np.uint8), folder / "gt" / "p03.png")
    saved(np.zeros((H, W), np.uint8), folder / "gt" / "p04.png")
    done = run("dis", tmp_path, tmp_path / "r")
    assert done.exit_code == 1
    record = only(tmp_path / "r")
    assert record["status"] == "failed"
    assert "4 bad images or annotations were skipped, --max-bad allows 0" in record["reason"]
    (entry,) = record["rounds"]
    assert entry["scores"]["id"] == ["p00", "p05", "p06", "p07"]
    assert record["metrics"]["miou"]["n"] == 4
    reasons = {fault["id"]: fault["reason"] for fault in entry["skipped"]}
    for name, message in {
        "p01": "no such mask",
        "p02": "cannot be read",
        "p03": "65 x 48",
        "p04": "no pixel",
    }.items():
        assert message in reasons[name]
        assert name in reasons[name]  # the file
    whole = run("dis", tmp_path, tmp_path / "r", "--max-bad", 4, "--redo", "failed")
    assert whole.exit_code == 0, whole.output
    assert "‡" in whole.stdout
    again = only(tmp_path / "r")
    assert again["status"] == "ok"
    assert again["metrics"] == record["metrics"]
    good = dis(tmp_path / "good", 8)
    for name in reasons:
        (good / "im" / f"{name}.jpg").unlink()
        (good / "gt" / f"{name}.png").unlink()
    run("dis", tmp_path / "good", tmp_path / "g")
    assert only(tmp_path / "g")["metrics"] == record["metrics"]


def test_a_mask_that_is_missed_altogether_scores_zero_and_no_nan(tmp_path: Path) -> None:
    from linbench.suites.accuracy.objects import score_mask

    nothing = np.zeros((H, W), bool)
    assert (score_mask(nothing, square(size=(H, W)))["iou"], score_mask(nothing, square(size=(H, W)))["biou"]) == (
        0,
        0,
    )


def test_bad_entries_of_cocos_files_cost_only_themselves(tmp_path: Path) -> None:
    truth, found = coco(tmp_path, 6)
    (tmp_path / "coco" / "val2017" / "2.jpg").unlink()
    truth["annotations"].append(annotation(90, 999, square(size=(H, W))))
    truth["annotations"].append(annotation(91, 3, square(size=(H, W)), segmentation=[[1, 1, 9, 9]]))
    found[0]["bbox"] = [1, 2, float("nan"), 4]
    found[6] |= {"id": 5}
    found[7] |= {"id": 5}
    found[8]["category_id"] = 77
    found.append({"image_id": 1234, "category_id": 18, "bbox": [1, 1, 5, 5], "score": 0.5})
    write_coco(tmp_path, truth, found)
    done = run("coco", tmp_path, tmp_path / "r")
    assert done.exit_code == 1, done.output
    record = only(tmp_path / "r")
    (entry,) = record["rounds"]
    assert entry["scores"]["id"] == ["1", "3", "4", "5", "6"]
    reasons = " | ".join(fault["reason"] for fault in entry["skipped"])
    for message in (
        "unknown image",
        "2 points",
        "nan",
        "second detection of this id",
        "category_id 77",
        "1234",
        "2.jpg",
    ):
        assert message in reasons
    assert len(entry["skipped"]) == 7
    assert record["reason"].startswith("7 bad images or annotations were skipped")
    assert record["metrics"]["map"]["n"] == 5


@pytest.mark.parametrize(
    "which", ["annotations/instances_val2017.json", "detections/coco_instances_results_vitdet.json"]
)
def test_a_json_file_cut_in_the_middle_is_named_with_the_byte(tmp_path: Path, which: str) -> None:
    write_coco(tmp_path, *coco(tmp_path))
    file = cut(tmp_path / "coco" / which)
    done = run("coco", tmp_path, tmp_path / "r")
    assert done.exit_code == 2
    assert str(file) in done.stderr
    assert f"of {file.stat().st_size:,}" in done.stderr
    assert "byte" in done.stderr
    assert not (tmp_path / "r").exists()


def test_bad_pictures_and_labels_of_the_other_sets_cost_only_themselves(tmp_path: Path) -> None:
    cut(imagenet(tmp_path) / "n00000001" / "1.JPEG")
    labels = ade20k(tmp_path) / "annotations" / "validation"
    saved(np.ones((H, W + 2), np.uint8), labels / "1.png")
    saved(np.zeros((H, W), np.uint8), labels / "2.png")
    done = run("imagenet,ade20k", tmp_path, tmp_path / "r")
    assert done.exit_code == 1
    found = {record["key"]["suite"]: record for record in records(tmp_path / "r")}
    assert found["imagenet"]["metrics"]["top1"]["n"] == 3
    assert found["ade20k"]["metrics"]["miou"]["n"] == 1
    assert "none of its pixels has a label" in found["ade20k"]["rounds"][0]["skipped"][1]["reason"]


def test_the_first_images_are_measured_and_are_part_of_the_key(tmp_path: Path) -> None:
    dis(tmp_path)
    run("dis", tmp_path, tmp_path / "r")
    run("dis", tmp_path, tmp_path / "r", "--images", 2)
    few, all_ = sorted(records(tmp_path / "r"), key=lambda record: record["key"]["images"])
    assert (few["key"]["images"], all_["key"]["images"]) == (2, 4)
    assert few["rounds"][0]["scores"]["iou"] == all_["rounds"][0]["scores"]["iou"][:2]


@pytest.mark.data
def test_real_frames_and_masks_in_the_layout_of_dis_are_evaluated(tmp_path: Path) -> None:
    real = realdata("davis2016_val")
    (tmp_path / "DIS5K" / "DIS-VD").mkdir(parents=True)
    (tmp_path / "DIS5K" / "DIS-VD" / "im").symlink_to(real / "images")
    (tmp_path / "DIS5K" / "DIS-VD" / "gt").symlink_to(real / "masks")
    assert run("dis", tmp_path, tmp_path / "r", "--images", 6).exit_code == 0
    scores = only(tmp_path / "r")["rounds"][0]["scores"]
    assert scores["id"][:2] == ["blackswan_00000", "blackswan_00025"]
    assert all(0 < share < 1 for share in scores["share"])


@pytest.mark.data
def test_real_annotations_with_crowds_and_holes_are_evaluated_from_their_own_boxes(tmp_path: Path) -> None:
    real = realdata("coco_train2017_free")
    truth = json.loads((real / "instances.json").read_text())
    names = ("image_id", "category_id", "bbox")
    found = [{k: one[k] for k in names} | {"score": 0.5} for one in truth["annotations"] if not one["iscrowd"]]
    write_coco(tmp_path, truth, found)
    (tmp_path / "coco" / "val2017").symlink_to(real / "images")
    assert run("coco", tmp_path, tmp_path / "r", "--images", 4).exit_code == 0
    entry = only(tmp_path / "r")["rounds"][0]
    first = {image["id"] for image in truth["images"][:4]}
    objects = sum(one["image_id"] in first and not one["iscrowd"] for one in truth["annotations"])
    assert sum(entry["scores"]["objects"]) == objects
    assert entry["skipped"] == []


@pytest.mark.parametrize("part", ["encoder", "iou_head"])
def test_weights_of_a_training_that_diverged_are_wrong_as_predict_has_it(tmp_path: Path, part: str) -> None:
    dis(tmp_path)
    sam = build_sam("vit-t", image_size=64)
    with torch.no_grad():
        for name, parameter in sam.named_parameters():
            if part in name:
                parameter.fill_(float("nan"))
    save(sam, tmp_path / "nan.safetensors", About("vit-t", "sam", (64, 64)))
    arguments = (
        "run",
        "--suite",
        "dis",
        "--data",
        tmp_path,
        "--checkpoint",
        tmp_path / "nan.safetensors",
        "--res",
        64,
    )
    assert call(*arguments, "--threads", 1, "--device", "cpu", "--results", tmp_path / "r").exit_code == 1
    record = only(tmp_path / "r")
    assert record["status"] == "wrong"
    assert f"the {'scores' if part == 'iou_head' else 'logits'} of p00 are not finite" in record["reason"]


@pytest.mark.parametrize(("white", "x0"), [(255, 201), (1, 200)])
def test_squash_takes_its_box_from_the_grey_values_in_the_file(tmp_path: Path, white: int, x0: int) -> None:
    label = np.zeros((512, 512), np.uint8)
    label[60:200, 101:300], label[60:200, 100] = white, min(white, 129)
    photo(tmp_path / "DIS5K" / "DIS-VD" / "im" / "a.jpg", label.shape)
    saved(label, tmp_path / "DIS5K" / "DIS-VD" / "gt" / "a.png")
    load_plugin(TOY)
    options = SegmenterOptions(
        backbones=("toy",), device="cpu", data=str(tmp_path), protocol="squash-1024", random=True, threads=1
    )
    dis_suite = suite["dis"].build()
    (cell,) = dis_suite.cells(options)
    assert cell.key.protocol_version == 2
    task = build_task(cell.key, options, torch.device("cpu"))
    ready = task.prepare(task.dataset[0])
    assert ready.box[0] == x0
    assert np.array_equal(ready.truth, label > (0 if white == 1 else 128))


@pytest.mark.parametrize(
    ("bbox", "reason"),
    [
        ([-0.5, -0.25, 70, 50], ""),
        ([70, 5, 9, 9], "its box lies outside the image"),
        ([4, 5, 0, 9], "its box is empty"),
        ([4, 5, 9000, 9], "its box reaches far outside the image"),
    ],
)
def test_coco_takes_the_boxes_that_predict_takes_and_names_the_others(
    tmp_path: Path, bbox: list, reason: str
) -> None:
    truth, found = coco(tmp_path, 1)
    found[0]["bbox"] = bbox
    write_coco(tmp_path, truth, found)
    run("coco", tmp_path, tmp_path / "r", "--max-bad", 1)
    record = only(tmp_path / "r")
    assert record["status"] == "ok"
    (entry,) = record["rounds"]
    assert [fault["reason"] for fault in entry["skipped"]] == ([f"detection 0: {reason}"] if reason else [])
    x, y, w, h = bbox
    words = ("predict", tmp_path / "coco" / "val2017" / "1.jpg", "--box", f"{x},{y},{x + w},{y + h}")
    model = ("--plugin", TOY, "--backbone", "toy", "--random", "--image-size", 64, "--threads", 1)
    done = call(*words, *model, "--out", tmp_path / "p")
    assert done.exit_code == (1 if reason else 0)
    assert reason.removeprefix("its box ") in done.stderr
