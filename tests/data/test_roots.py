"""Opening by name: which folder, which set, and the embedded one where there is none."""

import re
from pathlib import Path

import numpy as np
import pytest

from linbench.data.contract import BadDataset, dataset
from linbench.data.roots import list_splits, open_dataset
from linbench.registry import UnknownName
from tests.data.sets import write_coco

NAMES = ("ade20k", "coco", "coconut", "coift", "dis", "entityseg", "hrsod", "imagenet", "sa1b")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The embedded set is written into a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LINBENCH_DATA", raising=False)


def test_the_folder_is_that_of_the_option_or_else_of_the_variable(tmp_path, monkeypatch):
    write_coco(tmp_path / "one"), write_coco(tmp_path / "two", {"images": [{"id": 1}]})
    monkeypatch.setenv("LINBENCH_DATA", str(tmp_path / "two"))
    assert (len(open_dataset("coco", "val")), len(open_dataset("coco", "val", str(tmp_path / "one")))) == (1, 3)


@pytest.mark.parametrize("name", NAMES)
def test_the_embedded_set_is_read_by_the_same_reader_under_a_name_of_its_own(name):
    split = "train" if name == "sa1b" else "val"
    opened = open_dataset(name, split, images=3, size=64)
    assert (opened.name, opened.split, len(opened), opened.faults) == ("shapes", split, 3, ())
    assert opened.facts["embedded"] is True
    for sample in opened:
        assert sample.image().shape == (64, 64, 3)
        for instance in sample.instances() if hasattr(sample, "instances") else ():
            assert instance.mask().shape == (64, 64)
            assert instance.area in (None, instance.mask().sum())
    assert open_dataset(name, split, "shapes", images=3, size=64).checksum == opened.checksum


def test_coco_and_coconut_have_the_same_objects_of_the_embedded_set():
    coco, coconut = (open_dataset(name, "val", images=2, size=64) for name in ("coco", "coconut"))
    for sample, other in zip(coco, coconut, strict=True):
        for first, second in zip(sample.instances(), other.instances(), strict=True):
            np.testing.assert_array_equal(first.mask(), second.mask())
            assert (first.category, first.box) == (second.category, second.box)


def test_what_cannot_be_opened_is_refused_in_a_line_that_says_why(tmp_path):
    with pytest.raises(UnknownName, match="unknown dataset 'coc'"):
        open_dataset("coc", "val")
    with pytest.raises(BadDataset, match="none: no such folder; --data or LINBENCH_DATA names"):
        open_dataset("coco", "val", str(tmp_path / "none"))
    with pytest.raises(BadDataset, match="shapes as coift has the split val, not 'train'"):
        open_dataset("coift", "train")


def test_each_split_has_its_folder_or_what_is_missing(tmp_path):
    write_coco(tmp_path)
    rows = list_splits(str(tmp_path))
    assert {row.name for row in rows} == set(NAMES)
    (here,) = [row for row in rows if row.folder]
    assert (here.name, here.split, here.folder) == ("coco", "val", tmp_path / "coco")
    train = next(row for row in rows if (row.name, row.split) == ("coco", "train"))
    assert train.missing == f"there is no {tmp_path}/coco/annotations/instances_train2017.json"


def test_the_documentation_names_every_folder_and_file_that_a_reader_needs():
    text = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")
    for entry in dataset.values():
        for split in entry.facts["splits"]:
            for path in entry.facts["needs"](Path(), split):
                for part in path.parts:
                    assert re.search(rf"\b{re.escape(part)}\b", text), (entry.name, part)
