"""``linbench.compare``: the verdicts of the command line, for results, folders and records."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

import linbench
from linbench.records import Store
from tests.cli.test_compare import compare as command
from tests.cli.test_compare import put, sides  # noqa: F401 (a fixture)
from tests.reports.cases import record


def plain(verdicts) -> list[dict]:
    """The rows of the frame, a missing value as None."""
    frame = verdicts.to_pandas().astype(object)
    return frame.where(frame.notna(), None).to_dict("records")


def test_folders_results_and_records_give_the_verdicts_of_the_command_line(sides) -> None:  # noqa: F811
    expected = json.loads(command(*sides, "--json").stdout)
    assert {row["verdict"] for row in expected if row.get("verdict")} == {"SLOWER", "TIE", "WORSE"}
    records = [tuple(Store(folder)) for folder in sides]
    names = {"first": "first", "second": "second"}
    for pair in (sides, list(map(str, sides)), records, [linbench.Results(side) for side in records]):
        rows = plain(linbench.compare(*pair))
        assert len(rows) == len(expected)
        for row, known in zip(rows, expected, strict=True):
            assert {k: v for k, v in row.items() if k not in names and v is not None} == {
                k: v for k, v in known.items() if k not in names and v is not None
            }
    shown = linbench.compare(*sides)
    assert "SLOWER" in repr(shown) and "SLOWER" in shown._repr_html_() and "<table" in shown._repr_html_()


def test_models_of_one_side_are_compared_pairwise(tmp_path: Path) -> None:
    made = [record(name, 512, ms, rounds=5) for name, ms in (("vit-t", 10.0), ("vim-t", 12.0), ("vmamba-t", 9.0))]
    folder = put(tmp_path / "a", *made)
    rows = plain(linbench.compare(folder, models=["vit-t", "vim-t", "vmamba-t"]))
    expected = json.loads(command(folder, "--backbones", "vit-t,vim-t,vmamba-t", "--json").stdout)
    assert [(row["first"], row["second"], row["verdict"]) for row in rows] == [
        (row["first"], row["second"], row["verdict"]) for row in expected
    ]
    assert len(rows) == 3


def test_modules_of_this_process_are_shown_and_not_compared() -> None:
    model = nn.Conv2d(3, 4, 16, 16)
    results = [linbench.measure({"patches": model}, 32, seconds=0.1, progress=None) for _ in range(2)]
    calm = [  # whatever other programs did while this test ran
        [replace(record, rounds=tuple({**entry, "others_share": 0.0} for entry in record.rounds)) for record in side]
        for side in (result.records for result in results)
    ]
    (row,) = plain(linbench.compare(*calm))
    assert row["verdict"] is None and row["why"] == "fewer than 3 rounds"


def test_bad_sides_are_named(sides, tmp_path: Path) -> None:  # noqa: F811
    first, second = sides
    other = put(tmp_path / "c", record("vim-t", 512, 5.0, device="GPU"))
    with pytest.raises(ValueError, match=r"different devices are never ranked: a of .* and c of GPU"):
        linbench.compare(first, other)
    assert not linbench.compare(first, other, across_devices=True).comparison.is_ranked
    with pytest.raises(TypeError, match="the second side is a frame"):
        linbench.compare(first, linbench.load_results(second))
    with pytest.raises(TypeError, match="compare takes two sides"):
        linbench.compare(first)
    with pytest.raises(TypeError, match="leave the second one out"):
        linbench.compare(first, second, models=["vit-t", "vim-t"])
    with pytest.raises(ValueError, match=r"models vimt: did you mean vim-t\?"):
        linbench.compare(first, models=["vit-t", "vimt"])
    with pytest.raises(ValueError, match="give two or more"):
        linbench.compare(first, models=["vit-t"])
    with pytest.raises(ValueError, match="the first side has no record"):
        linbench.compare([], second)
    with pytest.raises(FileNotFoundError, match="no such results folder"):
        linbench.compare(first, tmp_path / "none")
