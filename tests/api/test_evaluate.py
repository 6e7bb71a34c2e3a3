"""``linbench.evaluate``: the scores of the suites, of a segmenter of linbench's or any function."""

from pathlib import Path

import numpy as np
import pytest
import torch

import linbench
from linbench.data.single_object import single_object
from linbench.metrics.iou import mask_iou
from linbench.models.sam import transform_of
from linbench.models.segmenter import Segmenter
from linbench.registry import UnknownName, load_plugin
from linbench.suites.accuracy.key import AccuracyKey
from linbench.suites.accuracy.models import build_model
from linbench.suites.accuracy.weights import Weights
from tests.suites.accuracy import made

SIZE = (48, 64)


def inside_the_box(image, boxes):
    """A segmenter that fills each box; its corners are pixels of it."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    left, top, right, bottom = boxes.T[:, :, None, None]
    return (columns >= left) & (columns <= right) & (rows >= top) & (rows <= bottom)


def square(top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def pairs(*masks: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.zeros((*SIZE, 3), np.uint8), mask) for mask in masks]


@pytest.mark.parametrize("suite", ["dis", "masks"])
def test_a_segmenter_scores_as_the_suites_do(suite: str, tmp_path: Path) -> None:
    folder = made.dis(tmp_path)
    data = ["--images", folder / "im", "--masks", folder / "gt"] if suite == "masks" else ["--data", tmp_path]
    toy = ["--plugin", made.TOY, "--backbone", "toy", "--random", "--threads", 1, "--device", "cpu", "--res", 64]
    made.call("run", "--suite", suite, *data, *toy, "--results", tmp_path / "r")
    record = made.only(tmp_path / "r")
    load_plugin(made.TOY)
    key = AccuracyKey.from_json(record["key"])
    sam = build_model("sam", key.model, Weights(seed=0), torch.device("cpu"), {})
    segmenter = Segmenter(sam, transform_of("toy", 64), {})
    scores = linbench.evaluate(segmenter, single_object("DIS-VD", "val", folder / "im", folder / "gt"))
    expected = record["rounds"][0]["scores"]
    assert scores.images["id"].tolist() == expected["id"]
    assert scores.images["iou"].tolist() == expected["iou"] and min(expected["iou"]) >= 0
    assert scores.images["biou"].tolist() == expected["biou"]
    for name in ("miou", "mbiou"):
        assert scores.metrics[name] == record["metrics"][name]


def test_boxes_filled_are_perfect_on_squares_and_half_right_on_triangles() -> None:
    triangle = np.tril(np.ones((20, 20), bool))
    half = np.zeros(SIZE, bool)
    half[10:30, 10:30] = triangle
    scores = linbench.evaluate(inside_the_box, pairs(square(3, 4, 9), half), metrics=["miou", "object_miou"])
    assert scores.images["iou"].tolist() == [1.0, triangle.mean()]
    assert scores.metrics["miou"]["value"] == pytest.approx(50 * (1 + triangle.mean()))
    assert list(scores.metrics) == ["miou", "object_miou"]
    assert "miou" in repr(scores) and "fewer than 30 images" in repr(scores) and "<table" in scores._repr_html_()
    assert scores.to_pandas().set_index("metric").loc["miou", "n"] == 2


def test_an_image_with_several_objects_counts_once_and_its_objects_have_rows() -> None:
    def first_only(image, boxes):
        masks = inside_the_box(image, boxes)
        masks[1:] = False
        return torch.from_numpy(masks)

    two = np.stack([square(3, 4, 9), square(20, 30, 12)])
    scores = linbench.evaluate(first_only, pairs(two, square(5, 5, 5)))
    assert scores.images["iou"].tolist() == [0.5, 1.0] and scores.images["objects"].tolist() == [2, 1]
    assert scores.objects["iou"].tolist() == [1.0, 0.0, 1.0]
    assert scores.objects[["image", "object"]].values.tolist() == [["0", "0"], ["0", "1"], ["1", ""]]
    assert scores.metrics["miou"]["value"] == 75.0
    assert scores.metrics["object_miou"]["value"] == pytest.approx(200 / 3)


def test_a_function_of_two_masks_is_a_metric() -> None:
    def dice(mask, truth) -> float:
        return 2 * float((mask & truth).sum()) / float(mask.sum() + truth.sum())

    scores = linbench.evaluate(inside_the_box, pairs(square(3, 4, 9), square(9, 9, 3)), metrics=["miou", dice])
    assert scores.metrics["mdice"]["value"] == 100.0 and scores.images["dice"].tolist() == [1.0, 1.0]
    same = linbench.evaluate(inside_the_box, pairs(square(3, 4, 9)), metrics=[mask_iou])
    assert list(same.metrics) == ["mmask_iou"] and same.metrics["mmask_iou"]["value"] == 100.0


def test_an_image_that_cannot_be_used_is_named() -> None:
    images = [*pairs(square(3, 4, 9), np.zeros(SIZE, bool)), (np.zeros((8, 8, 3), np.uint8), square(1, 1, 2))]
    scores = linbench.evaluate(inside_the_box, images)
    assert [entry["id"] for entry in scores.skipped] == ["1", "2"]
    assert "has no pixel" in scores.skipped[0]["reason"] and "(48, 64)" in scores.skipped[1]["reason"]
    assert len(scores.images) == 1 and "2 skipped" in repr(scores)


@pytest.mark.parametrize(
    ("segmenter", "arguments", "error", "message"),
    [
        (lambda image, boxes: np.zeros((1, 2, 2), bool), {}, ValueError, r"shape \(1, 2, 2\); masks are bool"),
        (lambda image, boxes: np.zeros((1, *SIZE)), {}, ValueError, "float64 .* compare logits with 0"),
        (inside_the_box, {"metrics": ["mio"]}, ValueError, "metrics mio: did you mean miou?"),
        (inside_the_box, {"metrics": []}, ValueError, "metrics is empty"),
        (inside_the_box, {"dataset": []}, ValueError, "no image could be used: the dataset has none"),
        (inside_the_box, {"dataset": [3]}, TypeError, r"dataset\[0\] is int"),
        (inside_the_box, {"dataset": "diss"}, UnknownName, "nearest are dis"),
    ],
)
def test_bad_arguments_are_named(segmenter, arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        linbench.evaluate(segmenter, **{"dataset": pairs(square(3, 4, 9)), **arguments})
