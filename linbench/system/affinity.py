"""The processors that this process may use, whatever an OpenMP runtime did to its first thread.

With ``OMP_PROC_BIND``, ``OMP_PLACES`` or ``GOMP_CPU_AFFINITY`` torch's OpenMP binds the thread that imports torch to
one place, and every thread and process started from it later inherits that. So the affinity is read when linbench is
imported, which the command line does before torch.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Variables that make an OpenMP runtime bind threads.
BINDING = ("GOMP_CPU_AFFINITY", "KMP_AFFINITY", "OMP_PLACES", "OMP_PROC_BIND")


def allowed() -> frozenset[int]:
    """Return the processors that this process may use, as ``taskset`` or the batch system gave them.

    The threads of a bound process do not show it, so there the processors at the import of linbench count.
    """
    if _may_be_bound():
        return _AT_IMPORT
    return _of_thread()


@contextmanager
def unbound() -> Iterator[None]:
    """Let processes that start inside the block use all of ``allowed()``: they inherit this thread's affinity."""
    if not _may_be_bound():
        yield
        return
    bound = os.sched_getaffinity(0)
    unbind()
    try:
        yield
    finally:
        os.sched_setaffinity(0, bound)


def unbind(*_: object) -> None:
    """Let the calling thread run on all of ``allowed()``; the initializer of pools beside a bound first thread."""
    if _may_be_bound():
        os.sched_setaffinity(0, allowed())


def _may_be_bound() -> bool:
    return hasattr(os, "sched_getaffinity") and "torch" in sys.modules and any(name in os.environ for name in BINDING)


def _of_thread() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _at_import() -> frozenset[int]:
    """Return this thread's processors; where torch has bound it, all that OpenMP and other threads have."""
    processors = set(_of_thread())
    if not _may_be_bound():
        return frozenset(processors)
    for task in Path("/proc/self/task").glob("*"):
        processors |= os.sched_getaffinity(int(task.name))
    return frozenset(processors | _openmp_places())


def _openmp_places() -> set[int]:
    """Return the processors of all places of the GNU OpenMP that torch has loaded (OpenMP 5.2, section 18.3)."""
    folder = Path(str(sys.modules["torch"].__file__)).parent / "lib"
    processors: set[int] = set()
    for path in folder.glob("libgomp*"):
        openmp = ctypes.CDLL(str(path))
        for place in range(openmp.omp_get_num_places()):
            ids = (ctypes.c_int * openmp.omp_get_place_num_procs(place))()
            openmp.omp_get_place_proc_ids(place, ids)
            processors.update(ids)
    return processors & set(range(os.cpu_count() or 1))  # a place may name processors that the machine lacks


_AT_IMPORT = _at_import()
