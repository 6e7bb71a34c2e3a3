"""What others take of the allowed cores: from recorded files, and beside a program that really computes."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from linbench.system import contention
from linbench.system.affinity import allowed
from linbench.system.contention import Contention, Power, UseByOthers, measure_contention, power, remarks

TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and sets affinities")
CALM = Contention(2, 0.01, 0.0, 0.02, "", 0, 0.0, Power("schedutil", False))


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def stat(*cores: tuple[float, float]) -> dict[str, str]:
    """Return the file ``/proc/stat`` of cores that were busy and stolen for these seconds."""
    lines = [
        f"cpu{i} {int(busy * TICKS)} 0 0 0 0 0 0 {int(steal * TICKS)} 0 0" for i, (busy, steal) in enumerate(cores)
    ]
    return {"proc/stat": "\n".join(["cpu  0 0 0 0 0 0 0 0 0 0", *lines, "intr 1"])}


@pytest.fixture
def a_second_passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A clock at which a second passes with each call."""
    now = [0.0]
    monkeypatch.setattr(contention.time, "perf_counter", lambda: now[0])

    def tick() -> None:
        now[0] += 1.0

    return tick


@pytest.mark.parametrize(
    ("cores", "after", "own", "share", "steal"),
    [
        ((0, 1), [(1, 0), (1, 0), (0, 0), (0, 0)], 1.0, 0.5, 0.0),  # of two busy cores one is ours
        ((2, 3), [(1, 0), (1, 0), (0, 0), (0, 0)], 0.0, 0.0, 0.0),  # neighbours on other cores do not disturb
        ((0, 1, 2, 3), [(1, 0), (1, 0), (0, 0), (0, 0)], 0.0, 0.5, 0.0),
        ((0, 1), [(0.6, 0.4), (1, 0), (1, 0), (1, 0)], 1.6, 0.2, 0.2),  # another virtual machine is another program
        ((0, 1), [(0.6, 0.4), (1, 0), (1, 0), (1, 0)], 2.0, 0.2, 0.2),  # also where our clock ran through it
        ((0, 1), [(0, 0), (0, 0), (0, 0), (0, 0)], 0.01, 0.0, 0.0),  # no negative use by rounding
    ],
)
def test_the_share_of_others_is_of_the_allowed_cores_without_our_own_time(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    a_second_passes: Callable[[], None],
    cores: tuple[int, ...],
    after: list[tuple[float, float]],
    own: float,
    share: float,
    steal: float,
) -> None:
    monkeypatch.setattr(contention, "allowed", lambda: frozenset(cores))
    used = iter([0.0, own])
    write(tmp_path, stat(*[(0, 0)] * 4))
    use = UseByOthers(tmp_path, lambda: next(used))
    a_second_passes()
    write(tmp_path, stat(*after))
    assert use.shares() == (pytest.approx(share, abs=0.02), pytest.approx(steal, abs=0.02))


def test_a_system_that_tells_nothing_is_unknown_and_not_quiet(tmp_path: Path) -> None:
    found = measure_contention(0.01, tmp_path)
    assert found == Contention(len(allowed()), None, None, None, "", None, None, Power(None, None))
    (remark,) = remarks(found)
    assert remark.fact == "unknown: this system does not tell what other programs use"
    assert not found.is_busy


def test_swap_pressure_governor_and_battery_are_read(tmp_path: Path) -> None:
    core, *_ = sorted(allowed())
    write(
        tmp_path,
        {
            "proc/pressure/cpu": "some avg10=2.31 avg60=3.59 avg300=8.15 total=8351603622\nfull avg10=0.00 total=0\n",
            "proc/meminfo": "MemTotal: 16 kB\nSwapTotal:       4096 kB\nSwapFree:        1024 kB\n",
            "proc/vmstat": "pswpin 7\npswpout 9\n",
            f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor": "powersave\n",
            "sys/class/power_supply/AC/type": "Mains\n",
            "sys/class/power_supply/BAT0/type": "Battery\n",
            "sys/class/power_supply/BAT0/status": "Discharging\n",
        },
    )
    found = measure_contention(0.01, tmp_path)
    assert (found.pressure, found.swap_used, found.swapped) == (0.0, 3072 * 1024, 0.0)
    assert found.power == Power("powersave", True)
    assert {remark.part: bool(remark.remedy) for remark in remarks(found)} == {
        "Quiet": False,
        "Clocks": True,
        "Power": True,
        "Swap": False,  # swap in use does no harm while nothing moves
    }


@pytest.mark.parametrize(
    ("files", "on_battery"),
    [
        ({"BAT0/type": "Battery", "BAT0/status": "Charging"}, False),
        ({"mouse/type": "Battery", "mouse/scope": "Device", "mouse/status": "Discharging"}, None),
        ({"AC/type": "Mains", "AC/online": "1"}, None),
    ],
)
def test_only_a_discharging_battery_of_the_machine_counts(
    tmp_path: Path, files: dict[str, str], on_battery: bool | None
) -> None:
    write(tmp_path, {f"sys/class/power_supply/{name}": text for name, text in files.items()})
    assert power(tmp_path).on_battery is on_battery


@pytest.mark.parametrize(
    ("machine", "part"),
    [
        (replace(CALM, others_share=0.4, busiest="cc1plus, process 7"), "Quiet"),
        (replace(CALM, power=Power("powersave", False)), "Clocks"),
        (replace(CALM, power=Power("schedutil", True)), "Power"),
        (replace(CALM, swap_used=2**30, swapped=2.0**24), "Swap"),
    ],
)
def test_what_harms_has_a_remedy_and_what_does_not_has_none(machine: Contention, part: str) -> None:
    assert not any(remark.remedy for remark in remarks(CALM))
    assert [remark.part for remark in remarks(machine) if remark.remedy] == [part]


def test_a_busy_machine_is_described_with_its_busiest_program_and_the_host() -> None:
    busy = replace(CALM, others_share=0.45, steal_share=0.12, busiest="cc1plus, process 7")
    assert busy.use == (
        "other programs use 45 % of the 2 cores "
        "(most by cc1plus, process 7; 12 % by other virtual machines of the host)"
    )


SPIN = "print('on', flush=True)\nwhile True: pass"


@pytest.fixture
def competitor() -> Iterator[tuple[int, int]]:
    """A program that computes on one core: that core and its process id. To a sibling it is another program."""
    core = min(os.sched_getaffinity(0))
    program = subprocess.Popen([sys.executable, "-c", SPIN], stdout=subprocess.PIPE)
    os.sched_setaffinity(program.pid, {core})
    assert program.stdout is not None
    program.stdout.readline()
    yield core, program.pid
    program.kill()
    program.wait()
    program.stdout.close()


def asked(code: str, cores: set[int]) -> str:
    """Run code in a process of its own on these cores, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    return done.stdout.strip()


@LINUX
def test_a_program_that_computes_on_our_core_is_seen(competitor: tuple[int, int]) -> None:
    core, _ = competitor
    share = asked("from linbench.system.contention import others_share; print(others_share(0.5))", {core})
    assert float(share) > 0.8  # whatever else runs there: the core is never idle


@LINUX
def test_what_we_and_our_children_compute_is_not_others(competitor: tuple[int, int]) -> None:
    """The core is never idle, so our part, as the system counts it for us, and that of others make 1."""
    core, _ = competitor
    code = (
        "import os, subprocess, sys, time; from linbench.system.contention import UseByOthers\n"
        "child = subprocess.Popen([sys.executable, '-c', 'while True: pass'])\n"
        "use, start, before = UseByOthers(), time.perf_counter(), time.process_time()\n"
        "while time.perf_counter() < start + 1.5: pass\n"
        "share, wall, own = use.share(), time.perf_counter() - start, time.process_time() - before\n"
        "child.kill(); child.wait()\n"
        "print(share, (own + os.times().children_user) / wall)"
    )
    others, own = map(float, asked(code, {core}).split())
    assert own > 0.2
    assert others + own == pytest.approx(1, abs=0.15)


@LINUX
def test_the_busiest_program_is_named(competitor: tuple[int, int]) -> None:
    core, pid = competitor
    code = "from linbench.system.contention import measure_contention; print(measure_contention(0.5).busiest)"
    others = {int(path.name) for path in Path("/proc").glob("[0-9]*")}
    named = int(asked(code, {core}).rpartition(" ")[2])
    assert named in others  # this competitor, where nothing else computes on its core
    assert pid in others
