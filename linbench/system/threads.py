"""How many CPU threads ``run``, ``train``, ``predict`` and ``doctor`` use: all of them count alike.

By default all cores that this process may use, or fewer where the user or the container sets a limit. The number is
part of a record's key.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from linbench.system.affinity import allowed
from linbench.system.cgroup import cpu_quota

USER, LIMIT = "OMP_NUM_THREADS", "OMP_THREAD_LIMIT"


@dataclass(frozen=True)
class Threads:
    """A number of threads. reason: What made it differ from the number of cores; empty where nothing did."""

    count: int
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.count} thread{'s' * (self.count != 1)}{': ' * bool(self.reason)}{self.reason}"


def cores() -> int:
    """Return how many processor cores this process may use: its affinity, cut to the container's quota."""
    return _within_quota().count


def thread_count(requested: int | None, processes: int = 1) -> int:
    """Return the number of threads: ``requested``, or the default. Raises ValueError where it cannot be had.

    processes: Among which the cores are shared, as torchrun's on this machine.
    """
    if requested is None:
        return default_threads(processes).count
    most = _most()
    if not 1 <= requested <= most.count:
        because = f": {most.reason}" if most.reason else ""
        raise ValueError(f"--threads {requested}: this process may use 1 to {most.count} cores{because}")
    return requested


def default_threads(processes: int = 1, environ: Mapping[str, str] = os.environ) -> Threads:
    """Return the default number of threads, and why, in words for a person."""
    most = _most(environ)
    shared = Threads(max(1, most.count // processes), most.reason)
    value = environ.get(USER, "").strip()
    if not value:
        return shared
    if value == "1" and "TORCHELASTIC_RUN_ID" in environ:
        # torchrun sets it to 1 where it is unset, so it says nothing about the user's wish.
        return Threads(shared.count, _joined(f"torchrun's {USER}=1 is not taken, --threads says otherwise", most))
    number = _first_number(value)
    if number is None:
        return Threads(shared.count, _joined(f"{USER}={value} is not taken, it is no number above 0", most))
    if number > most.count:
        return Threads(most.count, _joined(f"{USER}={value} is more than this process may use", most))
    return Threads(number, f"{USER}={value}" if number != shared.count else shared.reason)


def _most(environ: Mapping[str, str] = os.environ) -> Threads:
    """Return how many threads can run at once: the cores, or OpenMP's own limit."""
    limit = _first_number(environ.get(LIMIT, "").strip())
    usable = _within_quota()
    return Threads(limit, f"{LIMIT}={limit}") if limit is not None and limit < usable.count else usable


def _within_quota() -> Threads:
    count, quota = len(allowed()), cpu_quota()
    if quota is None or quota >= count:
        return Threads(count)
    shown = f"{quota:.2f}".rstrip("0").rstrip(".")
    return Threads(max(1, math.floor(quota)), f"the container's quota is {shown} of {count} CPUs")


def _first_number(value: str) -> int | None:
    """Return the outermost level of a list such as ``4,2`` (OpenMP 5.2, 21.1.2); None for no number above 0."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})(\s*,.*)?", value)
    return int(match[1]) if match else None


def _joined(text: str, most: Threads) -> str:
    return f"{text}; {most.reason}" if most.reason else text
