"""How much of the allowed cores other processes took while a block ran: a disturbed latency must be visible."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from linbench.system.contention import UseByOthers


@contextmanager
def cpu_usage(threads: int) -> Iterator[dict[str, Any]]:
    """Yield a dict that holds, after the block, fractions of processor time.

    ``cpu_share``: What this process used of its ``threads`` cores; below 1 it waited or ran on fewer.
    ``others_share``: What other programs used of the cores that this process may use; None where the system does not
    tell. This process, what it starts and the sweep that started it are not others.
    """
    usage: dict[str, Any] = {}
    others = UseByOthers()
    own, wall = time.process_time(), time.perf_counter()
    yield usage
    own, wall = time.process_time() - own, time.perf_counter() - wall
    usage["others_share"] = others.share()
    usage["cpu_share"] = own / (wall * threads)
