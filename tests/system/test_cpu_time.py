"""Processor time from recorded texts of /proc, and of real processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from linbench.system.cpu_time import CoreTime, core_time, descendants, own_seconds, process_time

TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
#: A machine with three cores: user nice system idle iowait irq softirq steal guest guest_nice.
STAT = """cpu  600 60 300 9000 50 6 12 30 99 9
cpu0 100 10 100 3000 10 1 2 0 5 1
cpu1 200 20 100 3000 10 2 4 10 4 0
cpu2 300 30 100 3000 30 3 6 20 90 8
intr 12345 0 0
ctxt 987
"""
#: The line of a process whose name holds a blank and brackets, as ``prctl`` allows.
PROCESS = (
    "77 (a (b) c) S 1 77 77 0 -1 4194560 1 0 0 0 250 50 30 20 20 0 3 0 1000 1 1 18446744073709551615 1 1 0 0 0 0 "
    "0 0 0 0 0 0 17 2 0 0 0 0 0 0 0 0 0 0 0 0 0"
)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder that holds the ``proc`` of a machine with three cores and one process."""
    (tmp_path / "proc/77/task/77").mkdir(parents=True)
    (tmp_path / "proc/stat").write_text(STAT)
    (tmp_path / "proc/77/stat").write_text(PROCESS)
    return tmp_path


@pytest.mark.parametrize(
    ("cores", "busy", "steal"),
    [
        ({0}, 100 + 10 + 100 + 1 + 2, 0),
        ({1, 2}, 336 + 459, 30),
        ({0, 1, 2}, 213 + 336 + 459, 30),
        ({2, 3, 17}, 459, 20),  # cores that are offline are not listed
    ],
)
def test_only_the_allowed_cores_count_and_stolen_time_is_busy(
    machine: Path, cores: set[int], busy: int, steal: int
) -> None:
    listed = len(cores & {0, 1, 2})
    assert core_time(cores, machine) == CoreTime(busy / TICKS, steal / TICKS, listed)


def test_an_old_kernel_without_steal_has_none(machine: Path) -> None:
    (machine / "proc/stat").write_text("cpu  1 1 1 1 1 1 1\ncpu0 100 10 100 3000 10 1 2\n")
    assert core_time({0}, machine) == CoreTime(213 / TICKS, 0.0, 1)


def test_a_system_without_proc_tells_nothing(tmp_path: Path) -> None:
    assert core_time({0}, tmp_path) is None
    assert process_time(77, tmp_path) is None
    assert list(descendants(77, tmp_path)) == []


def test_a_process_is_read_whatever_its_name_holds(machine: Path) -> None:
    process = process_time(77, machine)
    assert process is not None
    assert (process.name, process.seconds, process.reaped) == ("a (b) c", 300 / TICKS, 50 / TICKS)
    assert process.core == 2


def test_descendants_are_children_of_all_threads_and_their_children(machine: Path) -> None:
    for pid, thread, children in ((77, 77, "80 "), (77, 78, "81 82 "), (81, 81, "90 ")):
        folder = machine / f"proc/{pid}/task/{thread}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "children").write_text(children)
    assert sorted(descendants(77, machine)) == [80, 81, 82, 90]


@LINUX
def test_own_time_holds_running_and_ended_children() -> None:
    spin = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
    before = own_seconds()
    child = subprocess.Popen([sys.executable, "-c", spin + "print('done', flush=True)\ntime.sleep(60)"], stdout=-1)
    assert child.stdout is not None
    child.stdout.readline()
    while_running = own_seconds() - before
    child.kill()
    child.wait()
    child.stdout.close()
    assert while_running >= 0.28  # in ticks of 10 ms
    assert own_seconds() - before >= while_running - 0.02  # nothing is lost when it ends


@LINUX
def test_the_sweep_is_no_other_program_in_the_process_of_a_round_only(tmp_path: Path) -> None:
    """A parent that computes is subtracted where ``__main__`` is the module of a round, and counted elsewhere."""
    code = (
        "import sys, time; from linbench.system import cpu_time\n"
        "if sys.argv[1] == 'round': cpu_time.is_round = lambda: True\n"
        "before = cpu_time.own_seconds(); print(flush=True); sys.stdin.readline(); "
        "print(cpu_time.own_seconds() - before)"
    )
    found = {}
    for kind in ("round", "other"):
        child = subprocess.Popen([sys.executable, "-c", code, kind], stdin=-1, stdout=-1, text=True)
        assert child.stdin is not None and child.stdout is not None
        child.stdout.readline()
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass
        found[kind] = float(child.communicate("go\n")[0])
    assert found["round"] >= 0.28
    assert found["other"] < 0.2
