"""Published numbers: the digits as printed, and the files that a wheel must carry."""

from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from linbench.published.downloads import downloads
from linbench.published.numbers import PublishedNumber, PublishedTable, published_table

ROOT = Path(__file__).parents[1]
DATA = [
    path.relative_to(ROOT).as_posix()
    for folder in ("linbench/published", "linbench/reports/paper")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".csv", ".toml")
]


@pytest.mark.parametrize(
    ("text", "step"), [("22.4", 0.1), ("600", 100), ("19", 1), ("80.50", 0.01), ("0", 1), ("2780000", 10_000)]
)
def test_the_last_digit_of_a_number_is_the_last_one_that_is_no_filling_zero(text, step):
    assert PublishedNumber(text, "Table 3").unit_of_last_digit == pytest.approx(step)


def test_a_number_keeps_its_digits_and_its_source():
    number = published_table("table3_sam", "Table 3").number({"method": "RWKV-SAM"}, "hrsod_mbiou")
    assert (number.text, number.value, number.source) == ("86.5", 86.5, "Table 3")


def test_rows_that_disagree_or_lack_are_an_error_and_rows_that_agree_are_one():
    table = PublishedTable("Table 1", ({"a": "x", "b": "1", "c": "7"}, {"a": "x", "b": "2", "c": "7"}))
    assert table.text({"a": "x"}, "c") == "7"
    with pytest.raises(KeyError, match="Table 1: 2 values of b"):
        table.text({"a": "x"}, "b")
    with pytest.raises(KeyError, match="Table 1: 0 values of c"):
        table.text({"a": "y"}, "c")


def test_the_published_numbers_and_the_tables_of_the_paper_are_in_the_wheel():
    packed = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert len(DATA) == 12 + 3
    assert {*DATA, "linbench/groups.toml"} <= packed


def test_what_the_paper_trains_on_has_a_size_and_a_source():
    from linbench.recipes.contract import PIPELINES, recipe
    from linbench.recipes.teacher import SAM

    needed = {(s.dataset, s.split) for name in PIPELINES["paper"] for s in recipe[name].build().sources}
    known = downloads()
    assert needed | {(name, "") for name in SAM} <= known.keys()
    assert all(entry.source and (entry.images or entry.gigabytes) for entry in known.values())
    table = {row["dataset"]: row for row in published_table("table2_training_data", "Table 2").rows}
    for name, label in {"coconut": "COCONut-B", "entityseg": "EntitySeg", "dis": "DIS5K"}.items():
        entry = known[name, "train"]
        assert (str(entry.images), str(entry.masks)) == (table[label]["images"], table[label]["masks"])
