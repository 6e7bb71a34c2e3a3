"""The number of threads: the user's, the container's, OpenMP's; and what a bound first thread must not change."""

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from linbench import environment
from linbench.system import threads as module
from linbench.system.threads import cores, default_threads, thread_count


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A process on four cores without a quota or a variable."""
    monkeypatch.setattr(module, "allowed", lambda: frozenset(range(4)))
    monkeypatch.setattr(module, "cpu_quota", lambda: None)
    for name in ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "4 threads"),
        ({"OMP_NUM_THREADS": "2"}, "2 threads: OMP_NUM_THREADS=2"),
        ({"OMP_NUM_THREADS": "3,1"}, "3 threads: OMP_NUM_THREADS=3,1"),
        ({"OMP_NUM_THREADS": "4"}, "4 threads"),
        ({"OMP_NUM_THREADS": ""}, "4 threads"),
        ({"OMP_NUM_THREADS": "abc"}, "4 threads: OMP_NUM_THREADS=abc is not taken, it is no number above 0"),
        ({"OMP_NUM_THREADS": "0"}, "4 threads: OMP_NUM_THREADS=0 is not taken, it is no number above 0"),
        ({"OMP_NUM_THREADS": "9"}, "4 threads: OMP_NUM_THREADS=9 is more than this process may use"),
        ({"OMP_THREAD_LIMIT": "2"}, "2 threads: OMP_THREAD_LIMIT=2"),
        ({"OMP_THREAD_LIMIT": "2", "OMP_NUM_THREADS": "1"}, "1 thread: OMP_NUM_THREADS=1"),
        ({"OMP_THREAD_LIMIT": "8"}, "4 threads"),
        ({"MKL_NUM_THREADS": "1"}, "4 threads"),  # --threads sets MKL's number too
        (
            {"OMP_NUM_THREADS": "1", "TORCHELASTIC_RUN_ID": "none"},
            "4 threads: torchrun's OMP_NUM_THREADS=1 is not taken, --threads says otherwise",
        ),
        ({"OMP_NUM_THREADS": "2", "TORCHELASTIC_RUN_ID": "none"}, "2 threads: OMP_NUM_THREADS=2"),
    ],
)
def test_the_default_is_the_users_number_where_it_fits(
    four: pytest.MonkeyPatch, environ: Mapping[str, str], said: str
) -> None:
    assert str(default_threads(environ=environ)) == said


@pytest.mark.parametrize(("quota", "count"), [(0.5, 1), (1.0, 1), (1.5, 1), (2.5, 2), (4.0, 4), (9.0, 4)])
def test_a_quota_gives_whole_threads_and_at_least_one(four: pytest.MonkeyPatch, quota: float, count: int) -> None:
    four.setattr(module, "cpu_quota", lambda: quota)
    assert cores() == default_threads(environ={}).count == count
    assert (f"quota is {quota:g} of 4 CPUs" in str(default_threads(environ={}))) is (quota < 4)


def test_processes_share_the_cores_but_not_the_users_number(four: pytest.MonkeyPatch) -> None:
    assert default_threads(3, {}).count == 1
    assert default_threads(8, {}).count == 1
    assert default_threads(3, {"OMP_NUM_THREADS": "2"}).count == 2


def test_more_threads_than_can_run_are_refused_with_the_reason(four: pytest.MonkeyPatch) -> None:
    assert thread_count(4) == 4
    four.setattr(module, "cpu_quota", lambda: 2.5)
    with pytest.raises(ValueError, match=r"--threads 3: .* 1 to 2 cores: the container's quota is 2\.5 of 4 CPUs"):
        thread_count(3)
    four.setenv("OMP_THREAD_LIMIT", "1")
    with pytest.raises(ValueError, match=r"--threads 2: .* 1 to 1 cores: OMP_THREAD_LIMIT=1"):
        thread_count(2)


def run(code: str, **variables: str) -> str:
    """What a fresh Python prints under these variables."""
    base = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**base, **variables}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


BINDINGS = [
    {"OMP_PROC_BIND": "close"},
    {"OMP_PLACES": "cores"},
    {"GOMP_CPU_AFFINITY": f"0-{(os.cpu_count() or 1) - 1}"},
]
bound = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores"
)


@bound
@pytest.mark.parametrize(
    ("variables", "order"),
    [*((each, "linbench, torch") for each in BINDINGS), ({"OMP_PROC_BIND": "close"}, "torch, linbench")],
    ids=str,
)
def test_cores_are_counted_as_before_torch_bound_the_first_thread(variables: Mapping[str, str], order: str) -> None:
    code = f"import {order}; from linbench.environment import cores; print(cores())"
    assert int(run(code, **variables)) == len(os.sched_getaffinity(0))


@bound
def test_a_process_and_a_thread_started_beside_a_bound_one_have_all_cores() -> None:
    code = """
import linbench, torch, os, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from linbench.system.affinity import unbind, unbound
count = "import os; print(len(os.sched_getaffinity(0)))"
with unbound():
    print(subprocess.run([sys.executable, "-c", count], capture_output=True, text=True).stdout.strip())
print(len(os.sched_getaffinity(0)))
with ThreadPoolExecutor(1, initializer=unbind) as pool:
    print(pool.submit(lambda: len(os.sched_getaffinity(0))).result())
"""
    every = len(os.sched_getaffinity(0))
    assert run(code, OMP_PROC_BIND="close").split() == [str(every), "1", str(every)]


def test_taskset_is_respected() -> None:
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{one}}}); import linbench, torch; "
    assert run(code + "from linbench.environment import cores; print(cores())", OMP_PROC_BIND="close") == "1"


def test_a_record_keeps_what_moves_threads_and_numbers_but_no_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if environment.RELEVANT.match(name)]:
        monkeypatch.delenv(name)
    kept = {
        **dict.fromkeys(("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "OMP_DYNAMIC", "MKL_DYNAMIC"), "1"),
        **dict.fromkeys(("OMP_THREAD_LIMIT", "KMP_BLOCKTIME", "NUMBA_NUM_THREADS", "ATEN_CPU_CAPABILITY"), "1"),
    }
    for name, value in {**kept, "TORCH_HOME": "/home/x", "NUMBA_CACHE_DIR": "/home/x", "HOME": "/home/x"}.items():
        monkeypatch.setenv(name, value)
    assert environment.environment()["variables"] == dict(sorted(kept.items()))


def test_memory_is_the_containers_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "memory_limit", lambda: 2**26)
    assert environment.memory_bytes() == environment.environment()["memory_bytes"] == 2**26
    assert environment.limits()["memory_limit_bytes"] == 2**26
    monkeypatch.setattr(environment, "memory_limit", lambda: 2**63 - 4096)
    assert "memory_limit_bytes" not in environment.limits()
    assert environment.memory_bytes() == environment._physical_bytes()
