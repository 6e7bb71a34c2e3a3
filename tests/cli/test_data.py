"""``linbench data``: what is found, what is bad, and how much there is."""

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from linbench.cli import app
from tests.data.sets import H, W, annotation, coco_table, cut, dump, folder, photo, saved, square, write_coco


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """No data set of the machine's is found, and the embedded one is written into a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LINBENCH_DATA", raising=False)


def call(*arguments):
    result = CliRunner().invoke(app, ["data", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def answered(*arguments):
    return json.loads(call(*arguments, "--json").stdout)


def dis(root, count=40):
    for n in range(count):
        photo(root / f"DIS5K/DIS-VD/im/{n:03d}.jpg", (20, 30 + n), seed=n)
        saved(square(size=(20, 30 + n)) * np.uint8(255), root / f"DIS5K/DIS-VD/gt/{n:03d}.png")
    return root


def test_where_says_what_is_found_and_the_layout_of_what_is_not(tmp_path):
    dis(tmp_path, 1)
    result = call("where", "--data", tmp_path)
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["✓", "dis", "val", f"{tmp_path}/DIS5K"] in lines
    assert "\nimagenet\n    imagenet/\n      train/n01440764/*.JPEG" in result.stdout
    rows = answered("where", "--data", tmp_path)["sets"]
    assert [(row["name"], row["split"]) for row in rows if row["folder"]] == [("dis", "val")]


def test_where_takes_the_folder_from_the_variable_and_says_so_if_there_is_none(tmp_path, monkeypatch):
    assert "the embedded dataset, shapes, stands in for all" in call("where").stdout
    dis(tmp_path, 1)
    monkeypatch.setenv("LINBENCH_DATA", str(tmp_path))
    assert f"below {tmp_path}" in call("where").stdout


@pytest.mark.parametrize("workers", [1, 2])
def test_check_names_every_bad_file_once_and_reads_all_others(tmp_path, workers):
    dis(tmp_path)
    im, gt = tmp_path / "DIS5K/DIS-VD/im", tmp_path / "DIS5K/DIS-VD/gt"
    cut(im / "003.jpg", 0.95), (gt / "020.png").unlink()
    saved(np.zeros((20, 69), np.uint8), gt / "039.png")
    saved(square() * np.uint8(255), gt / "stray.png")
    result = call("check", "dis", "--data", tmp_path, "--workers", workers)
    assert result.exit_code == 1
    bad = result.stdout.splitlines()
    assert [line.split(": ")[0] for line in bad[:-1]] == [
        str(path) for path in (gt / "stray.png", im / "003.jpg", gt / "020.png", gt / "039.png")
    ]
    assert bad[-1].startswith("DIS-VD, val: 40 images, 39 masks, 4 bad (")
    assert "[40/40]" in result.stderr
    (answer,) = answered("check", "dis", "--data", tmp_path, "--workers", workers)
    assert [one["id"] for one in answer["bad"]] == ["stray", "003", "020", "039"]
    assert answer["bad"][3]["reason"] == "the mask has no pixel"


def test_check_of_a_whole_set_ends_with_code_0_and_its_checksum(tmp_path):
    dis(tmp_path, 3)
    (answer,) = answered("check", "dis", "--data", tmp_path)
    assert (answer["bad"], answer["images"], answer["masks"], len(answer["checksum"])) == ([], 3, 3, 64)
    assert call("check", "dis", "--data", tmp_path).exit_code == 0


def test_a_bad_annotation_is_named_once_though_it_is_met_twice(tmp_path):
    table = coco_table()
    table["annotations"] += [annotation(7, 11, area=-1), annotation(8, 99)]
    file = write_coco(tmp_path, table)
    result = call("check", "coco", "--data", tmp_path, "--split", "val")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[:2] == [
        f"{file}: annotation 7, of image 11: area -1 is no area",
        f"{file}: annotation 8 is of an unknown image, image_id 99",
    ]
    assert len(result.stdout.splitlines()) == 3


def test_check_names_an_object_without_a_pixel_and_a_bad_picture_in_one_line_each(tmp_path):
    table = coco_table()
    table["annotations"].append(annotation(7, 11, np.zeros((H, W), bool), bbox=[]))
    file = write_coco(tmp_path, table)
    table["images"][0]["file_name"] = "/etc/passwd"
    dump(file, table)
    result = call("check", "coco", "--data", tmp_path, "--split", "val")
    lines = result.stdout.splitlines()
    assert (result.exit_code, len(lines)) == (1, 4)
    assert lines[0].startswith(f"{file}: image 10: the file name '/etc/passwd' leads out of")
    assert lines[1].endswith("000000000011.jpg: the mask of its object 7 has no pixel")
    assert re.match("note: annotations that count without .*: 1; .*bbox \\[\\] is not four numbers", lines[2])


def test_stats_are_the_columns_of_the_papers_table_and_the_quantiles_of_sizes(tmp_path):
    dis(tmp_path, 21)
    (row,) = answered("stats", "dis", "--data", tmp_path)
    assert (row["set"], row["images"], row["masks"], row["unreadable"]) == ("DIS-VD", 21, 21, 0)
    assert row["long_side"] == [30, 31, 40, 49, 50]
    assert row["median_megapixels"] == round(20 * 40 / 1e6, 3)
    (tmp_path / "DIS5K/DIS-VD/im/000.jpg").write_text("no picture")
    (row,) = answered("stats", "dis", "--data", tmp_path)
    assert (row["images"], row["unreadable"], row["long_side"][0]) == (21, 1, 31)


def test_stats_of_coco_read_no_picture(tmp_path):
    write_coco(tmp_path, coco_table(5))
    for path in (tmp_path / "coco/val2017").iterdir():
        path.unlink()
    (row,) = answered("stats", "coco", "--data", tmp_path)
    assert (row["images"], row["masks"], row["classes"], row["long_side"]) == (5, 5, 2, [16] * 5)


def test_the_embedded_set_is_checked_in_every_split_at_the_size_asked_for():
    rows = answered("stats", "coco", "--images", 3, "--size", 64)
    assert [(row["set"], row["split"], row["images"], row["long_side"][0]) for row in rows] == [
        ("shapes", "train", 3, 64),
        ("shapes", "val", 3, 64),
    ]
    (answer,) = answered("check", "ade20k", "--images", 3, "--size", 64, "--split", "val")
    assert (answer["bad"], answer["masks"]) == ([], 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "coc"], "NAME coc: did you mean coco? allowed are ade20k, coco"),
        (["check", "dis", "--split", "test"], "--split test: allowed are train, val"),
        (["check", "dis", "--data", "no/such"], "no/such: no such folder; --data or LINBENCH_DATA"),
        (["where", "--data", "no/such"], "no/such: no such folder; --data or LINBENCH_DATA"),
        (["stats", "sa1b", "--split", "val"], "--split val: allowed are train"),
    ],
)
def test_a_mistake_is_one_line_that_teaches_and_code_2(arguments, said):
    result = call(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"linbench: {said}"), result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_missing_set_and_sizes_of_a_real_one_are_refused(tmp_path):
    missing = call("check", "coco", "--data", tmp_path)
    assert missing.exit_code == 2
    assert "there is no" in missing.stderr
    assert "expected below" in missing.stderr
    dis(tmp_path, 1), folder(tmp_path / "DIS5K/DIS-TR/im")
    sized = call("check", "dis", "--data", tmp_path, "--size", 64)
    assert (sized.exit_code, "--size applies to the embedded dataset only" in sized.stderr) == (2, True)
