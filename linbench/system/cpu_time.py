"""Processor time of the machine's cores and of processes, from Linux's ``/proc``; nothing elsewhere.

Source: Linux's ``proc(5)``, ``/proc/stat``, ``/proc/pid/stat`` and ``/proc/pid/task/tid/children``.
"""

import os
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
#: The module that runs in the process of a round; the parent of such a process is the sweep.
ROUND = "linbench.suites.runner.child"


@dataclass(frozen=True)
class CoreTime:
    """Seconds since the start of the machine, summed over cores.

    busy: Not idle, ``steal`` included.  steal: Taken by other virtual machines of the host.  cores: How many count.
    """

    busy: float
    steal: float
    cores: int


@dataclass(frozen=True)
class ProcessTime:
    """A process at one moment. seconds: Its own processor time.  reaped: That of its ended children."""

    name: str
    seconds: float
    reaped: float
    core: int


def core_time(cores: Collection[int], root: Path = ROOT) -> CoreTime | None:
    """Return the time of these cores; None where the system does not list any of them.

    root: The folder that holds ``proc``.
    """
    lines = [line.split() for line in text(root / "proc/stat").splitlines()]
    rows = [[*map(int, fields), 0, 0, 0] for name, *fields in lines if name in {f"cpu{core}" for core in cores}]
    if not rows:
        return None
    busy = steal = 0
    for user, nice, system, _idle, _iowait, irq, softirq, stolen, *_ in rows:
        busy += user + nice + system + irq + softirq + stolen
        steal += stolen
    return CoreTime(busy / _ticks(), steal / _ticks(), len(rows))


def own_seconds(root: Path = ROOT) -> float:
    """Return the processor time of this process and all that it started; in a round's process the sweep's as well."""
    times = os.times()
    seconds = time.process_time() + times.children_user + times.children_system
    for pid in descendants(os.getpid(), root):
        process = process_time(pid, root)
        seconds += process.seconds + process.reaped if process else 0.0
    sweep = process_time(os.getppid(), root) if is_round() else None
    return seconds + (sweep.seconds if sweep else 0.0)


def own_processes(root: Path = ROOT) -> set[int]:
    """Return the ids of the processes whose time ``own_seconds`` counts."""
    return {os.getpid(), *descendants(os.getpid(), root), *({os.getppid()} if is_round() else ())}


def is_round() -> bool:
    """Return whether this process measures one round of a sweep, which is its parent."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name == ROUND


def descendants(pid: int, root: Path = ROOT) -> Iterator[int]:
    """Yield the ids of the processes below a process; none where the kernel does not list children."""
    for path in (root / f"proc/{pid}/task").glob("*/children"):
        for child in map(int, text(path).split()):
            yield child
            yield from descendants(child, root)


def process_time(pid: int, root: Path = ROOT) -> ProcessTime | None:
    """Return the time of a process; None where there is none of that id."""
    head, bracket, tail = text(root / f"proc/{pid}/stat").rpartition(")")
    if not bracket:
        return None
    fields = tail.split()  # from the third on, the state
    user, system, reaped_user, reaped_system = map(int, fields[11:15])
    name = head.partition("(")[2]
    seconds, reaped = (user + system) / _ticks(), (reaped_user + reaped_system) / _ticks()
    return ProcessTime(name, seconds, reaped, int(fields[36]))


def all_processes(root: Path = ROOT) -> dict[int, ProcessTime]:
    """Return every process that the system shows to this one, by its id."""
    pids = (int(path.name) for path in (root / "proc").glob("[0-9]*"))
    return {pid: process for pid in pids if (process := process_time(pid, root))}


def text(path: Path) -> str:
    """Return a file's text; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _ticks() -> int:
    return os.sysconf("SC_CLK_TCK")
