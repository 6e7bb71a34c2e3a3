"""Threads for the CPU kernels: the same OpenMP team that torch's own operators run on.

A second pool would compete with torch's for the cores: OpenMP workers spin for milliseconds after each operator.
Measured on two cores after an ``nn.Linear``, a kernel split over a thread pool of its own was no faster than on one
thread, and 1.8 times as fast on torch's team. Where torch's OpenMP has no GNU entry point (macOS, Windows), a thread
pool does the work; ``engine()`` returns which, and records store it.
"""

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import torch

from linbench.system.affinity import BINDING
from linbench.system.threads import LIMIT

_REGION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class TooFewThreads(RuntimeError):
    """OpenMP provides fewer threads than requested, or fewer cores than threads."""


def set_threads(threads: int) -> None:
    """Run torch's operators and the kernels on ``threads`` threads, each on a core of its own.

    Raises TooFewThreads, with the environment variables that cause it, where OpenMP makes a smaller team or binds it
    to fewer cores: that would silently halve the speed. Where OpenMP is not GNU's, the team is not checked.
    """
    torch.set_num_threads(threads)
    if (openmp := _library()) is None:
        return
    openmp.omp_set_dynamic(0)  # else the load of the machine decides the size of the team, for each operator
    team = _team(threads)
    cores = _core_count(team)
    if cores == threads:
        return
    fault = (
        f"OpenMP runs {len(team)} threads for {threads}"
        if len(team) < threads
        else f"OpenMP binds {threads} threads to {cores} core{'s' * (cores != 1)}"
    )
    causes = [f"{name}={os.environ[name]}" for name in (LIMIT, *BINDING) if name in os.environ]
    raise TooFewThreads(f"{fault}{' (' * bool(causes)}{', '.join(causes)}{')' * bool(causes)}")


def _team(threads: int) -> list[frozenset[int]]:
    """Return the cores that each thread of an OpenMP region may run on."""
    team: list[frozenset[int]] = []
    run = _openmp()
    assert run is not None

    def record_affinity(_: object) -> None:
        team.append(frozenset(os.sched_getaffinity(0)))

    run(_REGION(record_affinity), None, threads, 0)
    return team


def _core_count(team: Sequence[frozenset[int]]) -> int:
    """Return how many of the threads can run at once, one per core: a maximum matching by augmenting paths."""
    thread_of_core: dict[int, int] = {}

    def assign(thread: int, tried: set[int]) -> bool:
        for core in sorted(team[thread] - tried):
            tried.add(core)
            if core not in thread_of_core or assign(thread_of_core[core], tried):
                thread_of_core[core] = thread
                return True
        return False

    return sum(assign(thread, set()) for thread in range(len(team)))


def parallel_for(kernel: Callable[[int, int], None], size: int, grain: int = 1) -> None:
    """Call ``kernel(start, stop)`` over ``range(size)`` on ``torch.get_num_threads()`` threads at once.

    kernel: Must release the GIL for its work (numba's ``nogil``), and write each index's results once.
    grain: Smallest number of indices worth a thread.
    """
    threads = max(1, min(torch.get_num_threads(), size // max(grain, 1)))
    if threads == 1:
        kernel(0, size)
        return
    bounds = [size * i // threads for i in range(threads + 1)]
    pieces = count()  # next() on it is atomic
    errors: list[BaseException] = []

    def work(_: object) -> None:
        # A team may be smaller than requested, so each thread takes pieces until none remain.
        for i in iter(pieces.__next__, None):
            if i >= threads:
                return
            try:
                kernel(bounds[i], bounds[i + 1])
            except BaseException as error:  # noqa: BLE001 - an exception cannot cross the C frame; raised below
                errors.append(error)

    run = _openmp()
    if run is not None:
        run(_REGION(work), None, threads, 0)
    else:
        waiting = [_pool(threads).submit(work, None) for _ in range(threads - 1)]
        work(None)
        for future in waiting:
            future.result()
    if errors:
        raise errors[0]


def engine() -> str:
    """Return what ``parallel_for`` runs on: ``openmp of torch`` or ``thread pool``."""
    return "thread pool" if _openmp() is None else "openmp of torch"


@cache
def _openmp() -> Callable[..., Any] | None:
    """Return ``GOMP_parallel`` of the library that torch has loaded, or ``None`` for another runtime."""
    if (openmp := _library()) is None:
        return None
    run = openmp.GOMP_parallel
    run.argtypes = [_REGION, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    run.restype = None
    return run


@cache
def _library() -> ctypes.CDLL | None:
    paths = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*"))
    return ctypes.CDLL(str(paths[0])) if paths else None


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="linbench")
