"""``linbench merge``: what it says, and how it ends."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from linbench.cli import app
from linbench.records import Store
from tests.reports.cases import record


def merge(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["merge", *map(str, arguments)])


def two(root: Path) -> tuple[Path, Path]:
    """Two folders with one key under two hashes of code."""
    new = record("vim-t", 512, 6.0)
    Store(root / "a").put(record("vim-t", 512, 5.0, noise=0.0))
    Store(root / "b").put(replace(new, code_hash="other"))
    return root / "a", root / "b"


def test_several_outcomes_are_listed_with_their_numbers_and_the_second_time_nothing_is_written(tmp_path):
    a, b = two(tmp_path)
    first, again = (merge(a, b, "--out", tmp_path / "all") for _ in range(2))
    assert (first.exit_code, again.exit_code) == (0, 0)
    text = " ".join(first.stdout.split())
    assert "several outcomes: latency vim-t backbone 512x512 float32 paper: reports show " in text
    assert ": 5 ms in 3 rounds (torch 2.15.0+cpu, commit 012345678, 2026-11-21T08:00)" in text
    assert "2 records in" in first.stdout and "2 written" in first.stdout
    assert "0 written" in again.stdout


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"others_share": 0.72}, "disturbed by other programs (up to 72 % of the cores)"),
        ({"throttled": ["power cap"]}, "the device throttled"),
        ({"others_share": 0.08}, "other programs used more of the cores"),
        ({"started": "2026-11-20T08:00:00Z"}, "measured earlier"),
        (None, "fewer rounds"),
    ],
)
def test_the_reason_why_reports_show_another_outcome_is_given(tmp_path, other, reason):
    shown, kept = record("vim-t", 512, 6.0), record("vim-t", 512, 5.0, rounds=2 if other is None else 3)
    rounds = tuple({**entry, **(other or {})} for entry in kept.rounds)
    Store(tmp_path / "a").put(shown)
    Store(tmp_path / "b").put(replace(kept, rounds=rounds, code_hash="other"))
    text = merge(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "all").stdout
    assert f"also kept, {reason}: " in " ".join(text.split())
    assert all(len(line) <= 80 for line in text.splitlines() if str(tmp_path) not in line)
    conflict = json.loads(merge(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "all", "--json").stdout)
    assert conflict["conflicts"][0]["why"] == [reason]


def test_damaged_files_are_named_and_the_rest_is_merged_with_exit_code_1(tmp_path):
    a, b = two(tmp_path)
    (path,) = (path for path, _ in Store(b).items())
    path.write_text("{", encoding="utf-8")
    result = merge(a, b, "--out", tmp_path / "all", "--json")
    assert result.exit_code == 1
    assert f"left out: {path}: it is not JSON" in result.stderr
    result_json = json.loads(result.stdout)
    assert (result_json["records"], result_json["left_out"][0]["file"]) == (1, str(path))


def test_bad_folders_are_refused_before_anything_is_made(tmp_path):
    a, _ = two(tmp_path)
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    assert "no such folder" in merge(tmp_path / "nix", "--out", out).stderr
    assert "no records in it" in merge(tmp_path / "empty", "--out", out).stderr
    assert "it lies in" in merge(a, "--out", a / "inside").stderr
    assert not out.exists() and not (a / "inside").exists()


def test_a_folder_that_is_being_written_is_refused(tmp_path):
    a, b = two(tmp_path)
    with Store(b).writing():
        result = merge(a, "--out", b)
    assert result.exit_code == 2 and "is writing there" in result.stderr
