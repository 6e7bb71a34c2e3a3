"""Threads for the CPU kernels: the very OpenMP team that torch's own operators run on.

A second pool beside torch's would fight it for the cores: OpenMP workers spin for milliseconds after each
operator. Measured on two cores behind an ``nn.Linear``, a kernel split over a thread pool of its own gained
nothing over one thread, and 1.8 times on torch's team. Where torch's OpenMP has no GNU entry point (macOS,
Windows), a thread pool does the same work; ``engine()`` says which one it is and records store it.
"""

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import torch

_REGION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def parallel_for(kernel: Callable[[int, int], None], size: int, grain: int = 1) -> None:
    """Call ``kernel(start, stop)`` over ``range(size)`` on ``torch.get_num_threads()`` threads at once.

    kernel: Must release the GIL for its work (numba's ``nogil``), and write each index's results once.
    grain: Fewest indices worth a thread.
    """
    threads = max(1, min(torch.get_num_threads(), size // max(grain, 1)))
    if threads == 1:
        kernel(0, size)
        return
    bounds = [size * i // threads for i in range(threads + 1)]
    pieces = count()  # next() on it is atomic
    errors: list[BaseException] = []

    def work(_: object) -> None:
        # A team may be smaller than asked for, so each thread takes pieces until none is left.
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
    """``openmp of torch`` or ``thread pool``: what ``parallel_for`` runs on here."""
    return "thread pool" if _openmp() is None else "openmp of torch"


@cache
def _openmp() -> Callable[..., Any] | None:
    """``GOMP_parallel`` of the library that torch has loaded, or None where it has another runtime."""
    for path in sorted((Path(torch.__file__).parent / "lib").glob("libgomp*")):
        run = ctypes.CDLL(str(path)).GOMP_parallel
        run.argtypes = [_REGION, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        run.restype = None
        return run
    return None


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="linbench")
