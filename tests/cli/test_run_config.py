"""Sweeps as files and in parts: ``--config``, ``--print-config``, ``--shard``."""

import json
import tomllib
from pathlib import Path

import pytest

from linbench.records import Store
from tests.cli.test_usage import call

QUICK = ("--device", "cpu", "--threads", "1")


def plan(*arguments: str) -> list[dict]:
    """The cells of a dry run."""
    done = call("run", "--dry-run", "--json", *arguments)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


COMMANDS = [
    ("--backbone", "vit-t,vim-t", "--res", "64..128,96x160", "--rounds", "5", "--seed", "3"),
    ("--backbone", "vrwkv-t", "--res", "64", "--option", 'layer_scale="a b"', "--option", "layer_scale=null"),
    ("--no-compile", "--preset", "best", "--setting", "memory_format=channels_last", "--cell-seconds", "0.5"),
    ("--suite", "kernels", "--op", "q_shift", "--direction", "forward", "--shard", "2/3"),
    ("--suite", "latency,kernels", "--res", "64", "--dtype", "bfloat16", "--batch", "1,2", "--energy"),
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_the_printed_file_plans_the_same_cells(arguments: tuple[str, ...], tmp_path: Path) -> None:
    printed = call("run", *QUICK, *arguments, "--print-config")
    assert printed.exit_code == 0
    assert all(len(line) <= 80 for line in printed.stdout.splitlines())
    file = written(tmp_path / "sweep.toml", printed.stdout)
    again = call("run", "--config", file, "--print-config")
    assert again.stdout == printed.stdout
    if "--option" not in arguments:  # no backbone has an option of that name
        assert plan("--config", file) == plan(*QUICK, *arguments)


def test_a_file_takes_lists_numbers_switches_tables_and_comma_texts(tmp_path: Path) -> None:
    file = written(
        tmp_path / "sweep.toml",
        'suite = ["latency"]\nbackbone = "vit-t, vim-t"\nres = [64, "96x128"]\nrounds = 2\nenergy = true\n'
        'compile = false\npreset = ["paper"]\ndevice = "cpu"\nthreads = 1\n'
        'setting = { memory_format = "channels_last" }',
    )
    typed = ("--backbone", "vit-t,vim-t", "--res", "64,96x128", "--rounds", "2", "--energy", "--no-compile")
    more = ("--preset", "paper", "--setting", "memory_format=channels_last")
    assert plan("--config", file) == plan(*typed, *more, *QUICK)


def test_options_of_the_command_line_win_over_the_file(tmp_path: Path) -> None:
    file = written(
        tmp_path / "sweep.toml",
        'suite = "kernels"\nres = "64"\nbackbone = ["vit-t"]\nsetting = ["memory_format=channels_last"]\n'
        'device = "cpu"\nthreads = 1\nrounds = 7\n',
    )
    rows = plan("--config", file, "--suite", "latency", "--res", "32", "--setting", "allocator=keep")
    assert {(row["suite"], row["height"], row["rounds_to_measure"]) for row in rows} == {("latency", 32, 7)}
    assert {(row["memory_format"], row["allocator"]) for row in rows if row["preset"] == "custom"} == {
        ("contiguous", "keep")
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rond = 3", "--rond: the suite latency has no such option (did you mean --rounds?)"),
        ('op = "q_shift"', "--op: the suite latency has no such option (kernels has it)"),
        ("cell_seconds = 3", "did you mean --cell-seconds?"),
        ("rounds = [1, 2]", "rounds = [1, 2]: one value is allowed, not a list"),
        ("rounds = 2.5", "--rounds 2.5: write a whole number"),
        ("rounds = true", "rounds = true: write a text or a number"),
        ("energy = 1", "energy = 1: write true or false"),
        ("rounds = 0", "--rounds 0: at least 1 is allowed"),
        ('preset = ["bets"]', "--preset bets: did you mean best?"),
        ("[latency]\nrounds = 3", "--latency: the suite latency has no such option"),
        ("res = 1979-05-27", "res = 1979-05-27: write a text or a number"),
        ("config = 'x'", "--config: a file cannot hold it"),
        ("help = true", "--help: the suite latency has no such option"),
        ("rounds = x", "it is no TOML: Invalid value (at line 1"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    file = written(tmp_path / "sweep.toml", text)
    done = call("run", "--config", file, "--dry-run")
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"linbench: --config {file}: ") and message in line


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"suite = '\xe9'")
    for path, message in (
        (tmp_path / "none.toml", "cannot be read (No such file"),
        (tmp_path, "cannot be read (Is a directory)"),
        (tmp_path / "latin.toml", "no text in UTF-8"),
    ):
        done = call("run", "--config", str(path))
        assert done.exit_code == 2
        (line,) = done.stderr.splitlines()
        assert message in line


def test_the_file_of_a_plug_in_suite_names_its_plug_in(plugins: Path, tmp_path: Path) -> None:
    waits = ("--plugin", str(plugins / "waits.py"), "--suite", "waits", "--nap", "1,2", "--mood", "calm", "--deep")
    printed = call("run", *waits, "--print-config").stdout
    assert tomllib.loads(printed)["mood"] == ["calm"]
    assert plan("--config", written(tmp_path / "sweep.toml", printed)) == plan(*waits)


def test_the_dry_run_shows_the_shard() -> None:
    done = call("run", "--dry-run", "--backbone", "vit-t", "--res", "64,128", *QUICK, "--shard", "1/2")
    assert "shard 1/2: 2 of 4 cells" in done.stderr and "2 cells, 2 to measure" in done.stdout


def test_merge_joins_what_shards_measured(plugins: Path, tmp_path: Path) -> None:
    waits = ("run", "--plugin", str(plugins / "waits.py"), "--suite", "waits", "--nap", "1,2,3")
    quick = ("--rounds", "1", "--cell-seconds", "0.05", "--wait", "0")
    folders = [str(tmp_path / name) for name in ("a", "b")]
    for index, folder in enumerate(folders, 1):
        call(*waits, *quick, "--results", folder, "--shard", f"{index}/2")
    assert all(len(list(Store(Path(folder)))) in (1, 2) for folder in folders)
    merged = call("merge", *folders, "--out", str(tmp_path / "all"))
    assert merged.exit_code == 0, merged.output
    assert sorted(record.key["nap_ms"] for record in Store(tmp_path / "all")) == [1, 2, 3]
