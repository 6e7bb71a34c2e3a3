"""What other programs and the machine's power state take from a measurement, and what a person can do about it.

``others_share`` is a fraction of the allowed cores (``affinity``): a neighbour on these disturbs, however many others
the machine has. Other virtual machines of the host (steal) count as other programs. None: the system does not tell.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from linbench.system.affinity import allowed
from linbench.system.cpu_time import (
    ROOT,
    ProcessTime,
    all_processes,
    core_time,
    own_processes,
    own_seconds,
    text,
)

MOST_BY_OTHERS = 0.1  # of the allowed cores: what other programs may use before a time is disturbed
MOST_SWAPPED = 2**20  # bytes per second
LEAST_NAMED = 0.05  # of a core: what a program must use to be named


@dataclass(frozen=True)
class Power:
    """How the machine is powered.

    governor: The frequency governors of the allowed cores.  on_battery: Whether a battery is discharging.
    """

    governor: str | None
    on_battery: bool | None


@dataclass(frozen=True)
class Contention:
    """What others took of the allowed cores over some seconds, and the state of the machine.

    cores: Allowed ones.  others_share, steal_share: Fractions of them.
    pressure: Fraction of the time in which a task of the machine waited for a core.
    busiest: The program that used most, with its id; empty where none is visible.
    swap_used, swapped: Bytes in the swap space, and moved to or from it per second.
    """

    cores: int
    others_share: float | None
    steal_share: float | None
    pressure: float | None
    busiest: str
    swap_used: int | None
    swapped: float | None
    power: Power

    @property
    def is_busy(self) -> bool:
        """Whether others use more than ``MOST_BY_OTHERS``; False where that is unknown."""
        return self.others_share is not None and self.others_share > MOST_BY_OTHERS

    @property
    def use(self) -> str:
        """What other programs use, in words."""
        if self.others_share is None:
            return "this system does not tell what other programs use"
        cores = f"{self.cores} cores" if self.cores != 1 else "one core"
        details = [f"most by {self.busiest}"] if self.busiest and self.is_busy else []
        if self.steal_share and self.steal_share > MOST_BY_OTHERS / 2:
            details.append(f"{percent(self.steal_share)} by other virtual machines of the host")
        return f"other programs use {percent(self.others_share)} of the {cores}{_bracketed(details)}"


@dataclass(frozen=True)
class Remark:
    """A fact about the machine in words. remedy: What a person can do; empty where the fact does no harm."""

    part: str
    fact: str
    remedy: str = ""


class UseByOthers:
    """A stopwatch of what others use of the allowed cores: started when made, read by ``share``."""

    def __init__(self, root: Path = ROOT, own: Callable[[], float] | None = None) -> None:
        self._root, self._own = root, own or own_seconds
        self._cores = allowed()
        self._before, self._own_before = core_time(self._cores, root), self._own()
        self._start = time.perf_counter()

    def share(self) -> float | None:
        """Return the fraction of the allowed cores that others used since the start."""
        return self.shares()[0]

    def shares(self) -> tuple[float | None, float | None]:
        """Return what others used, and the part of it that other virtual machines did."""
        wall, own = time.perf_counter() - self._start, self._own() - self._own_before
        after = core_time(self._cores, self._root)
        if self._before is None or after is None or wall <= 0:
            return None, None
        total = wall * after.cores
        steal = (after.steal - self._before.steal) / total
        others = (after.busy - self._before.busy - own) / total
        return min(1.0, max(0.0, steal, others)), steal  # some kernels count stolen time as a process's own


def measure_contention(seconds: float = 1.0, root: Path = ROOT) -> Contention:
    """Rest for some seconds, and return what other programs did meanwhile.

    root: The folder that holds ``proc`` and ``sys``.
    """
    use = UseByOthers(root)
    processes, waited, swapped = all_processes(root), _waited_us(root), _swapped_bytes(root)
    start = time.perf_counter()
    time.sleep(seconds)
    others, steal = use.shares()
    wall = time.perf_counter() - start
    return Contention(
        cores=len(allowed()),
        others_share=others,
        steal_share=steal,
        pressure=_rate(waited, _waited_us(root), 1e6 * wall),
        busiest=_busiest(processes, all_processes(root), wall, own_processes(root)),
        swap_used=_swap_used(root),
        swapped=_rate(swapped, _swapped_bytes(root), wall),
        power=power(root),
    )


def others_share(seconds: float = 1.0) -> float | None:
    """Rest for some seconds, and return the fraction of the allowed cores that others used meanwhile."""
    use = UseByOthers()
    time.sleep(seconds)
    return use.share()


def power(root: Path = ROOT) -> Power:
    """Return the governors of the allowed cores, and whether a battery is discharging."""
    paths = (root / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor" for core in sorted(allowed()))
    governors = sorted({governor for path in paths if (governor := text(path))})
    return Power(", ".join(governors) or None, _on_battery(root))


def remarks(contention: Contention) -> Iterator[Remark]:
    """Yield what is known of the machine's state, each with what would help."""
    remedy = "close them, or let `linbench run --wait SECONDS` wait" if contention.is_busy else ""
    verdict = "unknown" if contention.others_share is None else "busy" if contention.is_busy else "quiet"
    pressure = f"; tasks waited for a core {percent(contention.pressure)} of the time" if contention.pressure else ""
    yield Remark("Quiet", f"{verdict}: {contention.use}{pressure}", remedy)
    governor, on_battery = contention.power.governor, contention.power.on_battery
    if governor is not None:
        remedy = "sudo cpupower frequency-set -g performance, while you measure"
        yield Remark("Clocks", f"frequency governor {governor}", remedy if "powersave" in governor else "")
    if on_battery is not None:
        yield Remark("Power", "on battery", "plug it in") if on_battery else Remark("Power", "not on battery")
    if contention.swap_used is not None:
        yield _swap_remark(contention.swap_used, contention.swapped or 0.0)


def percent(fraction: float) -> str:
    """Return a fraction as a percentage without decimals."""
    return f"{100 * fraction:.0f} %"


def _swap_remark(used: int, swapped: float) -> Remark:
    fact = f"{used / 2**30:.2g} GiB of swap in use, {swapped / 2**20:.2g} MiB/s moved"
    is_swapping = swapped > MOST_SWAPPED
    return Remark("Swap", fact, "memory is short: close what takes it" if is_swapping else "")


def _bracketed(details: list[str]) -> str:
    return f" ({'; '.join(details)})" if details else ""


def _busiest(before: dict[int, ProcessTime], after: dict[int, ProcessTime], wall: float, own: set[int]) -> str:
    """Return name and id of the program that used most of an allowed core; empty where none used much."""
    used = {
        pid: process.seconds - (before[pid].seconds if pid in before else 0.0)
        for pid, process in after.items()
        if pid not in own and process.core in allowed()
    }
    pid = max(used, key=lambda pid: used[pid], default=None)
    return f"{after[pid].name}, process {pid}" if pid is not None and used[pid] > LEAST_NAMED * wall else ""


def _rate(before: float | None, after: float | None, per: float) -> float | None:
    return None if before is None or after is None else (after - before) / per


def _waited_us(root: Path) -> float | None:
    """Return the microseconds in which some task waited for a core (Linux's ``accounting/psi.rst``)."""
    for line in text(root / "proc/pressure/cpu").splitlines():
        kind, *fields = line.split()
        values = dict(field.split("=", 1) for field in fields)
        if kind == "some" and "total" in values:
            return float(values["total"])
    return None


def _swap_used(root: Path) -> int | None:
    sizes = _counters(root / "proc/meminfo")
    return 1024 * (sizes["SwapTotal:"] - sizes["SwapFree:"]) if sizes.keys() >= {"SwapTotal:", "SwapFree:"} else None


def _swapped_bytes(root: Path) -> float | None:
    pages = _counters(root / "proc/vmstat")
    is_known = pages.keys() >= {"pswpin", "pswpout"}
    return float(os.sysconf("SC_PAGE_SIZE") * (pages["pswpin"] + pages["pswpout"])) if is_known else None


def _counters(path: Path) -> dict[str, int]:
    words = (line.split() for line in text(path).splitlines())
    return {name: int(value) for name, value, *_ in (word for word in words if len(word) > 1) if value.isdecimal()}


def _on_battery(root: Path) -> bool | None:
    """Return whether a battery of the machine, not of a mouse, is discharging; None where there is no battery."""
    states = [
        text(supply / "status")
        for supply in (root / "sys/class/power_supply").glob("*")
        if text(supply / "type") == "Battery" and text(supply / "scope") != "Device"
    ]
    return "Discharging" in states if states else None
