"""``linbench compare``: what it refuses, what it writes, and how it guards."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from linbench.cli import app
from linbench.records import Record, Status, Store
from tests.reports.accuracy_cases import score
from tests.reports.cases import record


def compare(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def put(folder: Path, *records: Record) -> Path:
    for entry in records:
        Store(folder).put(entry)
    return folder


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    """A backbone that became a tenth slower and two points worse, one as it was, and one that broke."""
    before = [record(name, 512, 10.0, rounds=5) for name in ("vim-t", "vit-t", "vmamba-t")]
    slower = tuple({**entry, "samples_ms": [1.1 * ms for ms in entry["samples_ms"]]} for entry in before[0].rounds)
    broken = replace(before[2], status=Status.OOM, reason="9 GB asked for", rounds=())
    a = put(tmp_path / "a", *before, score("vim-t", "dis", 0.8))
    b = put(tmp_path / "b", replace(before[0], rounds=slower), before[1], broken, score("vim-t", "dis", 0.78))
    return a, b


def test_a_comparison_ends_with_0_whatever_it_finds_unless_it_guards(sides):
    result = compare(*sides)
    assert result.exit_code == 0
    assert "SLOWER" in result.stdout and "WORSE" in result.stdout and "ok → oom" in result.stdout


@pytest.mark.parametrize(
    ("guard", "message"),
    [
        ("SLOWER:5%", "latency vim-t backbone 512² float32 paper: 10.0 % slower"),
        ("SLOWER", "10.0 % slower"),
        ("SLOWER:12%", None),
        ("WORSE:1", "dis_miou vim-t 1024² DIS-VD float32: 2.00 points worse"),
        ("WORSE:3", None),
        ("BROKEN", "latency vmamba-t backbone 512² float32 paper: oom, 9 GB asked for"),
    ],
)
def test_a_guard_ends_with_1_where_the_difference_is_shown_and_large_enough(sides, guard, message):
    result = compare(*sides, "--fail-on", guard)
    assert result.exit_code == (0 if message is None else 1)
    assert message is None or (f"linbench: --fail-on {guard}: " in result.stderr and message in result.stderr)


def test_a_guard_says_how_many_pairs_it_could_not_test(tmp_path):
    few = record("vim-t", 512, 10.0, rounds=2)
    a, b = put(tmp_path / "a", few, record("vit-t", 512, 10.0)), put(tmp_path / "b", few, record("vit-t", 512, 10.0))
    result = compare(a, b, "--fail-on", "SLOWER:5%")
    assert result.exit_code == 0
    assert "linbench: --fail-on SLOWER: 1 of 2 pairs could not be compared; the marks tell why" in result.stderr


def test_the_commands_that_measure_what_could_not_be_compared_name_their_folder(tmp_path):
    few = record("vim-t", 512, 10.0, rounds=2)
    busy = replace(few, rounds=tuple({**entry, "others_share": 0.5} for entry in few.rounds))
    a, b = put(tmp_path / "a", few), put(tmp_path / "b", busy)
    lines = compare(a, b).stdout.splitlines()
    assert lines[-3:] == [
        "To measure what is missing:",
        f"  linbench run --backbone vim-t --preset paper --res 512 --results {a}",
        f"  linbench run --backbone vim-t --preset paper --redo disturbed --res 512 --results {b}",
    ]
    assert "To measure" not in compare(a, b, "--json").stdout


def test_every_line_but_a_command_fits_80_columns_and_a_headline_stands_above(tmp_path):
    names = ("vit-t", "vim-t", "vmamba-t", "vrwkv-t", "rwkv-sam-t")
    made = [record(name, size, 10.0 * size, rounds=3) for name in names for size in (512, 1024, 2048)]
    busy = replace(made[0], rounds=tuple({**entry, "others_share": 0.72} for entry in made[0].rounds))
    folder = put(tmp_path / "a", busy, *made[1:])
    for arguments in (["--backbones", ",".join(names)], ["--backbones", "vit-t,rwkv-sam-t"]):
        lines = compare(folder, *arguments).stdout.splitlines()
        assert "latencies was disturbed" in lines[0]
        assert all(len(line) <= 80 for line in lines if not line.startswith("  linbench run"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fail-on", "SLOWR:5%"], "--fail-on SLOWR: did you mean SLOWER? allowed are SLOWER, WORSE, BROKEN"),
        (["--fail-on", "SLOWER:5"], "write a percentage, such as 2%"),
        (["--fail-on", "WORSE:5%"], "write SLOWER:5%, WORSE:0.5 (points) or BROKEN"),
        (["--margin", "2"], "--margin 2: write a percentage, such as 2%"),
        (["--out", "x.txt"], "--out x.txt: the ending selects the format; allowed are .md, .csv, .json"),
        (["--backbones", "vim-t,vit-t"], "--backbones takes one folder, got 2"),
        (["--across-devices", "--fail-on", "SLOWER"], "across devices there are none"),
        (["--backbones", "a,b", "--commits", "c,d"], "--backbones and --commits: give one of them"),
    ],
)
def test_bad_input_ends_with_one_line_that_teaches_and_code_2(sides, arguments, message):
    result = compare(*sides, *arguments)
    assert result.exit_code == 2 and message in result.stderr and result.stderr.count("\n") == 1


def test_one_folder_needs_to_be_told_what_to_compare_and_knows_its_words(sides):
    assert "compare takes two folders; or one" in compare(sides[0]).stderr
    assert "did you mean vim-t?" in compare(sides[0], "--backbones", "vit-t,vimt").stderr
    assert "there are 012345678" in compare(sides[0], "--commits", "0123,fedc").stderr
    assert "no such folder" in compare(sides[0], sides[0] / "nix").stderr


def test_results_of_different_devices_are_refused_and_their_ratios_are_to_be_asked_for(sides, tmp_path):
    other = put(tmp_path / "c", record("vim-t", 512, 5.0, device="GPU"))
    refused, shown = compare(sides[0], other), compare(sides[0], other, "--across-devices")
    assert refused.exit_code == 2 and "different devices are never ranked" in refused.stderr
    assert shown.exit_code == 0 and "FASTER" not in shown.stdout


def test_commits_in_one_folder_are_told_apart_by_their_records(tmp_path):
    from linbench.merging import merge

    old = record("vim-t", 512, 10.0, rounds=5)
    new = replace(record("vim-t", 512, 13.0, rounds=5), environment={**old.environment, "git_commit": "fedcba"})
    new = replace(new, rounds=tuple({**entry, "started": "2026-11-24"} for entry in new.rounds))
    merge([put(tmp_path / "old", old), put(tmp_path / "new", new)], tmp_path / "all")
    rows = json.loads(compare(tmp_path / "all", "--commits", "0123,fed", "--json").stdout)
    assert [(row["first"], row["second"], row["verdict"]) for row in rows] == [("0123", "fed", "SLOWER")]


@pytest.mark.parametrize("ending", ["md", "csv", "json"])
def test_the_file_that_is_written_holds_every_pair(sides, tmp_path, ending):
    result = compare(*sides, "--out", tmp_path / f"c.{ending}")
    assert result.exit_code == 0
    text = (tmp_path / f"c.{ending}").read_text(encoding="utf-8")
    assert all(word in text for word in ("vim-t", "SLOWER", "WORSE", "ok → oom"))


def test_damaged_files_are_named_and_the_rest_is_compared_with_exit_code_1(sides):
    path = next(path for path, _ in Store(sides[1]).items())
    path.write_text("{", encoding="utf-8")
    result = compare(*sides)
    assert result.exit_code == 1 and f"left out: {path}" in result.stderr and "Times: a vs. b" in result.stdout
