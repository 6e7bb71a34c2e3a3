"""The OpenMP team: as many threads as the key says, each on a core of its own, or an error that names the cause."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from linbench.kernels import threads as module
from linbench.kernels.threads import TooFewThreads, set_threads

needs_two = pytest.mark.skipif(
    module._library() is None or len(os.sched_getaffinity(0)) < 2, reason="needs GNU OpenMP and two cores"
)
TWO = "import linbench\nfrom linbench.kernels.threads import set_threads\nset_threads(2)\nprint('two')"

SWEEP = """
import sys
sys.argv[1:] = "run --suite latency --backbone vit-t --res 64 --preset paper".split()
sys.argv += "--threads 2 --rounds 1 --cell-seconds 0.1 --wait 0 --results {}".split()
from linbench.cli import main
main()
"""


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    base = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    return subprocess.run([sys.executable, "-c", code], env={**base, **variables}, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("team", "placed"),
    [
        ([{0, 1}, {0, 1}], 2),
        ([{0}, {1}], 2),
        ([{0}, {0}], 1),
        ([{0}, {0}, {1, 2}], 2),
        ([{0, 1}, {0}, {1, 2}], 3),
        ([{1}, {0, 1}, {0, 1}], 2),
    ],
)
def test_threads_that_share_a_core_do_not_count_twice(team: list[set[int]], placed: int) -> None:
    assert module._core_count([frozenset(cores) for cores in team]) == placed


@needs_two
@pytest.mark.parametrize("variables", [{"OMP_PROC_BIND": "close"}, {"OMP_DYNAMIC": "true"}], ids=str)
def test_a_team_with_a_core_each_passes(variables: dict[str, str]) -> None:
    assert run(TWO, **variables).stdout == "two\n"


@needs_two
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("OMP_THREAD_LIMIT", "1", "OpenMP runs 1 threads for 2 (OMP_THREAD_LIMIT=1)"),
        ("OMP_PLACES", "{0}", "OpenMP binds 2 threads to 1 core (OMP_PLACES={0})"),
        ("GOMP_CPU_AFFINITY", "0", "OpenMP binds 2 threads to 1 core (GOMP_CPU_AFFINITY=0)"),
    ],
)
def test_a_team_that_is_too_small_or_shares_a_core_is_an_error(name: str, value: str, message: str) -> None:
    done = run(TWO, **{name: value})
    assert done.stdout == "" and f"TooFewThreads: {message}" in done.stderr


@needs_two
def test_a_round_without_its_cores_is_no_result(tmp_path: Path) -> None:
    """Both threads bound to one core: the record is ``failed`` and says why, instead of half the speed as ``ok``."""
    assert run(SWEEP.format(tmp_path), OMP_PLACES="{0}").returncode == 1
    (path,) = tmp_path.rglob("latency/**/*.json")
    record = json.loads(path.read_text())
    assert record["status"] == "failed"
    assert record["reason"] == "TooFewThreads: OpenMP binds 2 threads to 1 core (OMP_PLACES={0})"


@needs_two
def test_a_bound_round_has_all_its_cores_and_keeps_the_variable(tmp_path: Path) -> None:
    done = run(SWEEP.format(tmp_path), OMP_PROC_BIND="close")
    assert done.returncode in (0, 3), done.stderr  # 3: other programs computed meanwhile
    (path,) = tmp_path.rglob("latency/**/*.json")
    record = json.loads(path.read_text())
    assert record["key"]["threads"] == 2
    assert record["environment"]["cores"] == len(os.sched_getaffinity(0))
    assert record["environment"]["variables"]["OMP_PROC_BIND"] == "close"


def test_one_thread_is_always_there() -> None:
    before = torch.get_num_threads()
    try:
        set_threads(1)
    except TooFewThreads as error:
        pytest.fail(str(error))
    finally:
        torch.set_num_threads(before)
