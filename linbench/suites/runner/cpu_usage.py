"""How much of the machine other processes took while a block ran: a disturbed CPU latency must be visible."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_STAT = Path("/proc/stat")


@contextmanager
def cpu_usage(threads: int) -> Iterator[dict[str, Any]]:
    """Yield a dict that holds, after the block, fractions of processor time.

    ``cpu_share``: What this process used of its ``threads`` cores; below 1 it waited or ran on fewer.
    ``others_share``: What other processes used of all the machine's cores; None where the system does not tell.
    """
    usage: dict[str, Any] = {}
    busy, own, wall = _busy_seconds(), time.process_time(), time.perf_counter()
    yield usage
    own, wall = time.process_time() - own, time.perf_counter() - wall
    usage["cpu_share"] = own / (wall * threads)
    after = _busy_seconds()
    others = None if busy is None or after is None else (after - busy - own) / (wall * _processors())
    usage["others_share"] = None if others is None else max(0.0, others)


def _processors() -> int:
    """Return how many processors ``_STAT`` counts: all of the machine's, whatever this process may use of them."""
    return sum(line.startswith("cpu") for line in _STAT.read_text().splitlines()) - 1


def _busy_seconds() -> float | None:
    """Return the seconds that all cores together were not idle since the machine started."""
    if not _STAT.exists():
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, _STAT.read_text().split(maxsplit=9)[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
