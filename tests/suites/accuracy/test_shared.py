"""Many processes and any batch: every image once, none padded, and the same bits as one process gives."""

import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linbench.suites.runner.ranks import Ranks
from tests.suites.accuracy.made import TOY, call, coco, dis, only, records, run, without_times, write_coco

IMAGES = 7  # that neither 2 nor 3 divides


@given(count=st.integers(0, 50), world_size=st.integers(1, 9))
def test_every_image_is_one_processes(count: int, world_size: int) -> None:
    shards = [list(Ranks(rank, world_size).shard(count)) for rank in range(world_size)]
    assert sorted(index for shard in shards for index in shard) == list(range(count))


def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def one_rank(rank: int, world_size: int, at: int, suites: str, data: Path, results: Path, batch: int) -> None:
    """What torchrun runs: a process of several."""
    os.environ |= {
        **{"RANK": str(rank), "WORLD_SIZE": str(world_size), "LOCAL_RANK": str(rank)},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(at)},
    }
    done = run(suites, data, results, "--eval-batch", batch, "--max-bad", 1)
    if done.exit_code:
        raise SystemExit(done.output)


def sharded(world_size: int, suites: str, data: Path, results: Path, batch: int) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.suites.accuracy.made", "linbench.suites", "linbench.models"])
    at = port()
    processes = [
        context.Process(target=one_rank, args=(rank, world_size, at, suites, data, results, batch))
        for rank in range(world_size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0] * world_size


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    folder = dis(root, IMAGES)
    (folder / "gt" / "p04.png").unlink()  # a bad one is skipped once, too
    write_coco(root, *coco(root, IMAGES))
    return root


@pytest.fixture(scope="module")
def alone(sets: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    results = tmp_path_factory.mktemp("alone")
    run("dis,coco", sets, results, "--max-bad", 1)
    return [without_times(record) for record in records(results)]


@pytest.mark.parametrize(("world_size", "batch"), [(2, 1), (3, 5)])
def test_processes_give_the_record_of_one_process_to_the_last_bit(
    world_size: int, batch: int, sets: Path, alone: list[dict], tmp_path: Path
) -> None:
    sharded(world_size, "dis,coco", sets, tmp_path, batch)
    for mine, theirs in zip([without_times(record) for record in records(tmp_path)], alone, strict=True):
        assert mine["key"] == theirs["key"]
        assert mine["metrics"] == theirs["metrics"]
        assert mine["rounds"] == theirs["rounds"]
    assert not list(tmp_path.glob("*/*/*/*.journal"))


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_no_score_depends_on_the_evaluation_batch(batch: int, sets: Path, alone: list[dict], tmp_path: Path) -> None:
    run("dis", sets, tmp_path, "--max-bad", 1, "--eval-batch", batch)
    (theirs,) = [record for record in alone if record["key"]["suite"] == "dis"]
    assert without_times(only(tmp_path)) == theirs


def test_torchrun_shares_an_evaluation_and_one_process_writes_the_record(
    sets: Path, alone: list[dict], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port())]
    arguments = ["-m", "linbench", "run", "--suite", "coco", "--data", str(sets), "--results", str(tmp_path)]
    toy = ["--plugin", str(TOY), "--backbone", "toy", "--random", "--threads", "1", "--device", "cpu", "--res", "64"]
    done = subprocess.run([*command, *arguments, *toy], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("coco mask AP") == 1
    (theirs,) = [record for record in alone if record["key"]["suite"] == "coco"]
    assert only(tmp_path)["rounds"][0]["scores"] == theirs["rounds"][0]["scores"]
    assert only(tmp_path)["metrics"] == theirs["metrics"]


def test_suites_of_time_are_refused_under_torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    done = call("run", "--suite", "latency", "--results", tmp_path)
    assert done.exit_code == 2
    assert "run it without torchrun" in done.stderr
