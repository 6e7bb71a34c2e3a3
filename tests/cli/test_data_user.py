"""``linbench data check`` and ``stats`` of a user's own files, and of a dataset of a plug-in."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from linbench.cli import app
from linbench.data.contract import dataset
from tests.data.sets import annotation, dump, photo, saved, square

OBJECTS = Path(__file__).parents[1] / "plugins" / "objects.py"


@pytest.fixture(autouse=True)
def no_data_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LINBENCH_DATA", raising=False)


@pytest.fixture(autouse=True)
def plugins_leave() -> Iterator[None]:
    """A dataset that a plug-in registers is gone after the test."""
    yield
    dataset._entries.pop("halves", None)
    for name in [name for name in sys.modules if name.startswith("linbench_plugin_objects")]:
        del sys.modules[name]


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["data", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def mine(root: Path) -> tuple[Any, ...]:
    """Three images, of which the second has two objects; the options that name them."""
    for number in range(3):
        photo(root / "im" / "deep" / f"{number}.jpg", seed=number)
        labels = square().astype(np.uint8)
        labels[8:10, 10:14] = 2 * (number == 1)
        saved(labels, root / "gt" / f"{number}_mask.png")
    return "--images", root / "im", "--masks", root / "gt"


def test_check_reads_every_object_and_names_each_bad_file_once(tmp_path: Path) -> None:
    given = mine(tmp_path)
    whole = call("check", "masks", *given, "--name", "my-set")
    assert (whole.exit_code, "my-set, all: 3 images, 4 masks, ok" in whole.stdout) == (0, True)
    saved(np.zeros((4, 4), np.uint8), tmp_path / "gt" / "extra.png")
    (tmp_path / "gt" / "0_mask.png").unlink()
    (tmp_path / "gt" / "1_mask.png").write_bytes(b"nothing")
    (row,) = json.loads(call("check", "masks", *given, "--json").stdout)
    assert sorted(Path(bad["file"]).name for bad in row["bad"]) == ["0.jpg", "1_mask.png", "extra.png"]
    assert call("check", "masks", *given).exit_code == 1


def test_check_says_that_masks_are_jpeg_files(tmp_path: Path) -> None:
    photo(tmp_path / "im" / "a.jpg")
    saved(square().astype(np.uint8) * 255, tmp_path / "gt" / "a.jpg")
    shown = call("check", "masks", "--images", tmp_path / "im", "--masks", tmp_path / "gt")
    assert "note: 1 of 1 masks are JPEG files: read as grey, the object is above 128" in shown.stdout


def test_stats_counts_objects_of_masks_and_of_a_coco_file(tmp_path: Path) -> None:
    (row,) = json.loads(call("stats", "masks", *mine(tmp_path), "--json").stdout)
    assert (row["set"], row["images"], row["masks"]) == ("im", 3, 4)
    content = {
        "images": [{"id": 1, "file_name": "0.jpg", "height": 12, "width": 16}],
        "annotations": [annotation(1, 1), annotation(2, 1)],
        "categories": [{"id": 18, "name": "dog"}],
    }
    file = dump(tmp_path / "mine.json", content)
    given = ("coco", "--images", tmp_path / "im" / "deep", "--annotations", file, "--name", "my-set")
    (row,) = json.loads(call("stats", *given, "--json").stdout)
    assert (row["set"], row["images"], row["masks"]) == ("my-set", 1, 2)
    assert call("check", *given).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["masks"], "--images is missing: masks is read from --images DIR and --masks"),
        (["masks", "--images", "."], "--masks is missing"),
        (["masks", "--images", "nowhere", "--masks", "."], "--images nowhere: no such folder"),
        (["masks", "--images", ".", "--masks", ".", "--data", "x"], "--data x: masks is read from --images alone"),
        (
            ["masks", "--images", ".", "--annotations", "x"],
            "--annotations x: masks is read from --images and --masks",
        ),
        (["coco", "--annotations", "x"], "--images is missing: coco is read from --images DIR and --annotations"),
        (["coco", "--images", ".", "--annotations", "x"], "--annotations x: no such file"),
        (["coco", "--images", "."], "--images .: write a whole number from 1 on"),
        (["dis", "--images", "0"], "--images 0: write a whole number from 1 on"),
        (["dis", "--masks", "."], "--masks: dis has no such option"),
        (["mask"], "did you mean masks?"),
        (["dis", "--plugin", "nowhere.py"], "nowhere.py is not a file"),
        (["halves", "--plugin", str(OBJECTS)], "--data is missing: halves is read from a folder"),
    ],
)
@pytest.mark.parametrize("verb", ["check", "stats"])
def test_wrong_options_are_refused_in_one_line(verb: str, arguments: list[str], message: str) -> None:
    shown = call(verb, *arguments)
    assert shown.exit_code == 2 and message in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1
