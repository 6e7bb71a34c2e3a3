"""The suite kernels as a user runs it, and options that belong to another suite."""

import json
from pathlib import Path

import pytest

from tests.cli.test_usage import call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suite", "kernels", "--res", "512"], "--res: the suite kernels has no such option (ade20k, coco, "),
        (["--suite", "kernels", "--backbone", "vit-t"], "--backbone: the suite kernels has no such option ("),
        (
            ["--suite", "kernels", "--preset", "best"],
            "--preset: the suite kernels has no such option (latency, throughput have it); ",
        ),
        (
            ["--suite", "latency", "--op", "bi_wkv"],
            "--op: the suite latency has no such option (kernels has it); `linbench run --suite latency --help`",
        ),
        (["--direction", "backward"], "--direction: the suite latency has no such option (kernels has it)"),
        (
            ["--suite", "kernels", "--cse", "toy"],
            "--cse: the suite kernels has no such option (did you mean --case?)",
        ),
        (["--suite", "kernels", "--op", "bi_wkw"], "--op bi_wkw: allowed are "),
        (["--suite", "kernels", "--case", "*7"], "--case *7: allowed are toy, "),
        (["--suite", "kernels", "--direction", "back"], "--direction back: did you mean backward?"),
    ],
)
def test_an_option_that_a_suite_does_not_use_is_refused_in_one_line(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    result = call("run", "--dry-run", "--results", str(tmp_path / "results"), *arguments)
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line]
    assert message in line
    assert not (tmp_path / "results").exists()


def test_two_suites_share_a_command_and_each_takes_its_own_options(tmp_path: Path) -> None:
    chosen = ["--op", "q_shift", "--case", "toy", "--backbone", "vit-t", "--res", "64", "--preset", "paper"]
    result = call("run", "--suite", "kernels,latency", *chosen, "--dry-run", "--json", "--results", str(tmp_path))
    assert result.exit_code == 0, result.output
    found = [(cell["suite"], cell.get("op") or cell["backbone"]) for cell in json.loads(result.stdout)]
    assert found == [("kernels", "q_shift"), ("kernels", "q_shift"), ("latency", "vit-t")]
    plan = call("run", "--suite", "kernels,latency", *chosen, "--dry-run", "--results", str(tmp_path)).stdout
    assert "q_shift" in plan and "64x64" in plan


def test_a_run_leaves_records_a_table_and_a_figure_and_a_second_one_measures_nothing(tmp_path: Path) -> None:
    asked = ["--suite", "kernels", "--op", "q_shift", "--case", "toy", "--direction", "forward", "--device", "cpu"]
    quick = ["--rounds", "1", "--cell-seconds", "0.2", "--threads", "1", "--wait", "0", "--results", str(tmp_path)]
    done = call("run", *asked, *quick)
    assert done.exit_code in (0, 3), done.output  # 3: other programs computed meanwhile
    assert "q_shift toy forward fast float32: " in done.stderr
    (path,) = tmp_path.glob("*/kernels/q-shift/toy-forward-fast-float32-*.json")
    assert json.loads(path.read_text())["rounds"][0]["yardsticks"]["copy"]["samples_ms"]
    assert {"kernels.md", "kernels.csv", "kernels.png", "kernels.svg"} <= {p.name for p in tmp_path.iterdir()}
    again = call("run", *asked, *quick)
    assert "1 of 1 cells already have a record" in again.stderr
    report = call("report", "--results", str(tmp_path), "--suite", "kernels", "--json")
    (row,) = json.loads(report.stdout)
    assert (row["op"], row["stale"]) == ("q_shift", False)
    assert row["of_roofline"] > 0
    refused = call("report", "--results", str(tmp_path), "--suite", "latency")
    assert (refused.exit_code, "no records of the suite latency there" in refused.stderr) == (2, True)
    assert "--suite latenc: did you mean latency?" in call("report", "--suite", "latenc").stderr
