"""The suite training-step as a user runs it: help, plans, refusals, a run, its report, resuming."""

import json
from pathlib import Path

import pytest

from tests.cli.test_usage import call

BULKY = Path(__file__).parents[1] / "plugins" / "bulky.py"
STEP = ("--suite", "training-step", "--device", "cpu", "--threads", "1")


def plan(*arguments: str) -> list[dict]:
    done = call("run", *STEP, "--backbone", "vit-t", "--res", "64", "--dry-run", "--json", *arguments)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_help_shows_its_options_with_examples_in_eighty_columns() -> None:
    shown = call("run", "--suite", "training-step", "--help")
    assert shown.exit_code == 0
    for option in (
        "--batch",
        "--gradient-checkpointing",
        "--largest-batch",
        "--memory-limit",
        "--setting",
        "--dtype",
    ):
        assert option in shown.stdout
    assert "linbench run --suite training-step --largest-batch --memory-limit 24" in " ".join(shown.stdout.split())
    assert max(map(len, shown.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch", "0"], "--batch 0: at least 1 is allowed"),
        (["--batch", "two"], "--batch two: write a whole number"),
        (["--gradient-checkpointing", "block"], "--gradient-checkpointing block: did you mean blocks?"),
        (["--memory-limit", "-1"], "--memory-limit -1.0: at least 0.01 is allowed"),
        (["--memory-limit", "much"], "--memory-limit much: write a number"),
        (["--memory-limit", "nan"], "--memory-limit nan: write a number of GiB"),
        (["--largest-batch", "--batch", "1,8"], "--batch 1,8: --largest-batch finds the batch; give one of the two"),
        (["--dtype", "float16"], "--dtype float16: a training step allows float32 and bfloat16"),
        (["--setting", "cuda_graph=true"], "--setting cuda_graph: a training step allows allocator, matmul, "),
        (["--preset", "best"], "--preset: the suite training-step has no such option"),
        (["--res", "100"], "--res 100x100: vit-t takes heights and widths that 16 divides"),
        (["--backbone", "hq-sam-b"], "hq-sam-b is a segmenter on sam-vit-b: name that backbone"),
        (["--backbone", "vit-tt"], "unknown backbone 'vit-tt': nearest are vit-t, "),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    chosen = ["--backbone", "vit-t", "--res", "64", *arguments]
    result = call("run", *STEP, "--dry-run", "--results", str(tmp_path / "results"), *chosen)
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line]
    assert message in line


def test_a_plan_has_both_kinds_of_checkpointing_and_every_batch_and_dtype() -> None:
    cells = plan("--batch", "1,2", "--dtype", "float32,bfloat16")
    points = [(cell["batch"], cell["dtype"], cell["gradient_checkpointing"]) for cell in cells]
    assert len(set(points)) == len(points) == 8
    (cell,) = plan("--largest-batch", "--gradient-checkpointing", "blocks", "--memory-limit", "24")
    assert "batch" not in cell
    assert (cell["mode"], cell["memory_limit_gib"]) == ("largest batch", 24.0)


def test_shards_and_a_file_make_up_the_plan(tmp_path: Path) -> None:
    whole = plan("--batch", "1,2,4")
    parts = [cell for i in (1, 2, 3) for cell in plan("--batch", "1,2,4", "--shard", f"{i}/3")]
    assert sorted(map(json.dumps, parts)) == sorted(map(json.dumps, whole))
    chosen = ["--backbone", "vit-t", "--res", "64", "--batch", "1,2,4"]
    printed = call("run", *STEP, *chosen, "--print-config")
    file = tmp_path / "sweep.toml"
    file.write_text(printed.stdout)
    again = call("run", "--config", str(file), "--dry-run", "--json")
    assert json.loads(again.stdout) == whole


@pytest.mark.slow
def test_a_run_finds_the_largest_batch_and_leaves_a_record_and_a_report(tmp_path: Path) -> None:
    # A step of this backbone takes 256 MiB for each image, and less than 200 beside them.
    chosen = ["--plugin", str(BULKY), "--backbone", "bulky", "--res", "64", "--gradient-checkpointing", "none"]
    limited = ["--largest-batch", "--memory-limit", "0.45"]
    quick = ["--rounds", "1", "--cell-seconds", "0.2", "--wait", "0", "--results", str(tmp_path)]
    done = call("run", *STEP, *chosen, *limited, *quick)
    assert done.exit_code in (0, 3), done.output  # 3: other programs computed meanwhile
    (path,) = tmp_path.glob("*/training-step/bulky/*.json")
    (entry,) = json.loads(path.read_text())["rounds"]
    assert [(tried["batch"], tried["status"]) for tried in entry["tries"]] == [(1, "ok"), (2, "oom")]
    assert entry["batch"] == 1
    assert entry["loss"][1] < entry["loss"][0]
    assert (entry["parameters_without_gradient"], entry["slope_error"] < 0.005) == (0, True)
    again = call("run", *STEP, *chosen, *limited, *quick)
    assert "1 of 1 cells already have a record" in again.stderr
    (row,) = json.loads(call("report", "--results", str(tmp_path), "--json").stdout)
    assert (row["label"], row["batch"], row["limit_gib"]) == ("bulky", "1", 0.45)
    names = {file.name for file in tmp_path.iterdir()}
    assert {"training-step.md", "training-step.csv", "training-step.png", "training-step.svg"} <= names
