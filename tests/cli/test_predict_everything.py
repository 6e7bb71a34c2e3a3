"""``linbench predict`` with tiles, with a grid of points, and with folders and patterns as images."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco
from typer.testing import CliRunner

from linbench.cli import app

MODEL = ("--backbone", "efficientsam-ti", "--random", "--image-size", "64", "--threads", "1")
GRID = ("--everything", "--points-per-side", "3", "--min-iou", "0", "--min-stability", "0", "--max-overlap", "1")


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def images(tmp_path):
    """A folder with two images, a file that is none, and a nested image."""
    folder = tmp_path / "photos"
    (folder / "nested").mkdir(parents=True)
    for name in ("b.png", "a.jpg", "nested/c.png"):
        noise = np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder


def predict(tmp_path, *arguments):
    words = ["predict", *arguments, *MODEL, "--out", tmp_path / "out"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def document(tmp_path, name):
    return json.loads((tmp_path / "out" / f"{name}.masks.json").read_text())


def test_everything_writes_each_mask_with_area_box_scores_and_point(tmp_path, images):
    result = predict(tmp_path, images / "b.png", *GRID)
    assert result.exit_code == 0, result.output
    assert "b.png: 9/9 prompts" in result.stderr
    predictions = document(tmp_path, "b")["predictions"]
    assert len(predictions) == 27
    assert sorted({tuple(entry["points"][0]) for entry in predictions})[0] == (15.0, pytest.approx(40 / 6), 1)
    for entry in predictions:
        mask = coco.decode(entry["segmentation"])
        assert mask.shape == (40, 90)
        assert entry["area"] == mask.sum()
        assert entry["stability"] is None or 0 <= entry["stability"] <= 1
        if entry["area"]:
            rows, columns = np.nonzero(mask)
            assert entry["box"] == [columns.min(), rows.min(), columns.max(), rows.max()]
    scores = [entry["score"] for entry in predictions]
    assert scores == sorted(scores, reverse=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.masks.json", "b.overlay.png"]


def test_a_threshold_that_no_mask_passes_leaves_an_empty_list_and_exit_code_0(tmp_path, images):
    result = predict(tmp_path, images / "b.png", "--everything", "--points-per-side", "2", "--min-iou", "1")
    assert result.exit_code == 0, result.output
    assert "b.png: no masks" in result.stderr
    assert document(tmp_path, "b")["predictions"] == []


def test_tiles_count_and_change_the_mask_of_an_image_beyond_the_input_size(tmp_path, images):
    box = ("--box", "2,2,88,38")
    plain = predict(tmp_path, images / "b.png", *box)
    assert plain.exit_code == 0
    whole = document(tmp_path, "b")["predictions"][0]
    tiled = predict(tmp_path, images / "b.png", *box, "--tiles", "--tile-overlap", "0.5")
    assert tiled.exit_code == 0
    assert "b.png: 1/2 tiles" in tiled.stderr
    (entry,) = document(tmp_path, "b")["predictions"]
    assert entry["segmentation"]["size"] == [40, 90]
    assert entry["score"] != whole["score"]


def test_a_folder_means_its_images_in_order_and_other_files_are_counted(tmp_path, images):
    result = predict(tmp_path, images, "--box", "1,2,30,30", "--json")
    assert result.exit_code == 0, result.output
    assert [entry["image"] for entry in json.loads(result.stdout)] == [str(images / n) for n in ("a.jpg", "b.png")]
    assert "linbench: 1 file skipped" in result.stderr


def test_a_pattern_means_the_images_that_match(tmp_path, images):
    result = predict(tmp_path, images / "*", "--box", "1,2,30,30", "--json")
    assert [entry["image"] for entry in json.loads(result.stdout)] == [str(images / n) for n in ("a.jpg", "b.png")]
    result = predict(tmp_path, images / "**/c.*", "--box", "1,2,30,30", "--json")
    assert [entry["image"] for entry in json.loads(result.stdout)] == [str(images / "nested/c.png")]


BOX = ("--box", "1,2,30,30")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*BOX, "--everything"), "--everything excludes --box, --point and --boxes"),
        (("--everything", "--tiles"), "--everything excludes --tiles"),
        (("--everything", "--multimask"), "--everything excludes --multimask"),
        ((*BOX, "--min-iou", "0.5"), "--min-iou without --everything"),
        ((*BOX, "--tile-overlap", "0.5"), "--tile-overlap without --tiles"),
        ((*BOX, "--tiles", "--tile-overlap", "1"), "--tile-overlap 1: allowed are 0 to 0.9"),
        (("--everything", "--points-per-side", "0"), "--points-per-side must be at least 1, got 0"),
        (("--everything", "--min-stability", "2"), "--min-stability must be between 0 and 1, got 2"),
        (("--everything", "--crop-layers", "9"), "--crop-layers must be between 0 and 4, got 9"),
        (
            ("--everything", "--points-per-side", "1", "--crop-layers", "1", "--crop-points-divisor", "2"),
            "--crop-points-divisor must leave a point in layer 1",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(tmp_path, images, arguments, message):
    result = predict(tmp_path, images / "b.png", *arguments)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_or_a_pattern_without_images_is_one_line_and_code_2(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for name, message in ((empty, "no images in this folder"), (empty / "*.jpg", "no images match this pattern")):
        result = predict(tmp_path, name, *BOX)
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
        assert f"{name}: {message}" in result.stderr
