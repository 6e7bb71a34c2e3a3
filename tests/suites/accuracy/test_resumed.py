"""An evaluation that was killed goes on from what it has, and ends as one that was not."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from linbench.records import Store, key_hash
from linbench.suites.runner.journal import Journal
from tests.suites.accuracy.made import TOY, call, dis, only, records, run, without_times


def command(data: Path, results: Path, *more: str) -> list[str]:
    arguments = ["-m", "linbench", "run", "--suite", "dis", "--data", str(data), "--results", str(results)]
    toy = ["--plugin", str(TOY), "--backbone", "toy", "--random", "--threads", "1", "--device", "cpu", "--res", "64"]
    return [sys.executable, *arguments, *toy, *more]


def lines(results: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in results.glob("*/*/*/*.journal"))


def kill_at_random_moments(times: int, images: int, root: Path) -> None:
    """SIGKILL the evaluation ``times`` times, let it end, and hold its record against one that ran through."""
    dis(root, images)
    draw = random.Random(20261125)
    results = root / "killed"
    arguments = command(root, results)
    at_work = 0
    for turn in range(times):
        had = lines(results)
        more = draw.randint(0, max(1, (images - had) // (times - turn)))
        latest = draw.uniform(0.5, 3.0) if draw.random() < 0.2 else 60.0  # some moments are anywhere in the start
        evaluation = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + latest
        while lines(results) < had + more and evaluation.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(draw.uniform(0.0, 0.03))
        evaluation.kill()
        at_work += evaluation.wait() == -signal.SIGKILL and 0 < lines(results) <= images
        if draw.random() < 0.3:  # a line torn by the machine's end rather than by the process's
            for path in results.glob("*/*/*/*.journal"):
                path.write_bytes(path.read_bytes()[: -draw.randint(1, 20)])
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert at_work >= times // 2, "too few kills met an evaluation at work"
    assert run("dis", root, root / "whole").exit_code == 0, done.stderr
    ours, theirs = (without_times(only(folder)) for folder in (results, root / "whole"))
    assert ours | {"environment": 0} == theirs | {"environment": 0}
    assert ours["environment"]["checkpoint"] == theirs["environment"]["checkpoint"]
    scores = only(results)["rounds"][0]["scores"]
    assert len(set(scores["id"])) == len(scores["id"]) == images
    assert [path for path in results.rglob("*") if path.suffix in (".journal", ".tmp")] == []


def test_an_evaluation_killed_three_times_gives_the_record_of_an_undisturbed_one(tmp_path: Path) -> None:
    kill_at_random_moments(3, 40, tmp_path)


@pytest.mark.slow
def test_an_evaluation_killed_twenty_times_gives_the_record_of_an_undisturbed_one(tmp_path: Path) -> None:
    kill_at_random_moments(20, 200, tmp_path)


def test_images_in_the_journal_are_not_scored_again(tmp_path: Path) -> None:
    """Planted scores of a run with this key and code end up in the record: they were taken as they are."""
    dis(tmp_path)
    run("dis", tmp_path, tmp_path / "r")
    record = only(tmp_path / "r")
    (path,) = (tmp_path / "r").glob("*/*/*/*.json")
    assert Store(tmp_path / "r").path(record["key"]) == path
    path.unlink()
    header = {"key": key_hash(record["key"]), "code": record["code_hash"], "torch": torch.__version__}
    scores = record["rounds"][0]["scores"]
    planted = {name: column[1] for name, column in scores.items()} | {"iou": 0.625}
    with Journal(path, header).appending(3) as append:
        append({"number": 1, "scored": True, "seconds": 0.5} | planted)
    assert run("dis", tmp_path, tmp_path / "r").exit_code == 0
    again = only(tmp_path / "r")["rounds"][0]["scores"]
    assert again["iou"] == [scores["iou"][0], 0.625, *scores["iou"][2:]]
    assert not list(path.parent.glob("*.journal"))


def test_a_journal_of_other_code_is_not_mixed_in(tmp_path: Path) -> None:
    dis(tmp_path)
    run("dis", tmp_path, tmp_path / "r")
    record = only(tmp_path / "r")
    (path,) = (tmp_path / "r").glob("*/*/*/*.json")
    path.unlink()
    with Journal(path, {"key": "another", "code": record["code_hash"]}).appending(0) as append:
        append({"number": 1, "id": "p01", "scored": True, "seconds": 0.5, "iou": 0.625})
    run("dis", tmp_path, tmp_path / "r")
    assert without_times(only(tmp_path / "r")) == without_times(record)


def test_a_fresh_record_is_skipped_and_a_stale_one_is_kept_until_asked_for(tmp_path: Path) -> None:
    dis(tmp_path)
    run("dis", tmp_path, tmp_path / "r")
    (path,) = (tmp_path / "r").glob("*/*/*/*.json")
    first = path.read_bytes()
    again = run("dis", tmp_path, tmp_path / "r")
    assert "1 of 1 cells already have a record" in again.stderr
    assert path.read_bytes() == first
    path.write_text(path.read_text().replace(only(tmp_path / "r")["code_hash"], "0" * 16))
    kept = run("dis", tmp_path, tmp_path / "r")
    assert "stale, kept: dis toy 64x64 float32 keep-aspect DIS-VD" in kept.stderr
    assert "†" in kept.stdout
    assert run("dis", tmp_path, tmp_path / "r", "--redo", "stale").exit_code == 0
    assert without_times(only(tmp_path / "r"))["code_hash"] != "0" * 16


def test_a_dry_run_names_the_cells_and_where_their_records_will_be(tmp_path: Path) -> None:
    dis(tmp_path)
    done = run("dis", tmp_path, tmp_path / "r", "--dry-run", "--json")
    (row,) = json.loads(done.stdout)
    assert (row["suite"], row["protocol"]) == ("dis", "keep-aspect")
    assert (row["rounds_to_measure"], row["because"]) == (1, "new")
    assert not (tmp_path / "r").exists()
    run("dis", tmp_path, tmp_path / "r")
    (path,) = (tmp_path / "r").glob("*/*/*/*.json")
    assert row["path"] == str(path)


def test_a_model_that_breaks_is_a_record_with_its_traceback_and_the_others_are_evaluated(
    tmp_path: Path, plugins: Path
) -> None:
    dis(tmp_path)
    arguments = ("--suite", "dis", "--data", tmp_path, "--results", tmp_path / "r", "--random", "--device", "cpu")
    broken = ("--plugin", TOY, "--plugin", plugins / "accidents.py", "--backbone", "raises,toy", "--res", 64)
    done = call("run", *arguments, *broken, "--threads", 1)
    assert done.exit_code == 1
    found = {record["key"]["backbone"]: record for record in records(tmp_path / "r")}
    assert (found["raises"]["status"], found["toy"]["status"]) == ("failed", "ok")
    assert "RuntimeError: the forward failed" in found["raises"]["log"]


def test_the_size_of_a_sweep_is_the_inputs_and_the_metric_stays_at_the_pictures_size(tmp_path: Path) -> None:
    dis(tmp_path)
    run("dis", tmp_path, tmp_path / "r", "--res", "32..128")
    found = {record["key"]["height"]: record for record in records(tmp_path / "r")}
    assert sorted(found) == [32, 64, 128]
    sizes = {tuple(record["rounds"][0]["scores"]["size"]) for record in found.values()}
    assert len(sizes) == 1  # px of the true masks
    assert len({tuple(record["rounds"][0]["scores"]["iou"]) for record in found.values()}) == 3


def test_an_interrupt_keeps_the_journal_and_says_how_to_go_on(tmp_path: Path) -> None:
    dis(tmp_path, 60)
    arguments = command(tmp_path, tmp_path / "r")
    evaluation = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while lines(tmp_path / "r") < 4 and time.monotonic() < until:
        time.sleep(0.005)
    evaluation.send_signal(signal.SIGINT)
    _, message = evaluation.communicate(timeout=30)
    assert evaluation.returncode == 130
    assert "the same command goes on from there" in message
    assert "Traceback" not in message
    assert lines(tmp_path / "r") >= 4
    assert records(tmp_path / "r") == []
