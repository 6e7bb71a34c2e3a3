"""Measure the peak memory of a ``with peak(device)`` block, in a process that does nothing else."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from linbench.system.cgroup import memory_left
from linbench.system.memory import is_out_of_memory as is_out_of_memory

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_MEMINFO = Path("/proc/meminfo")


@contextmanager
def peak(device: torch.device) -> Iterator[dict[str, Any]]:
    """Yield a dict that holds, after the block, its peak in bytes.

    On CUDA ``allocated_bytes`` and ``reserved_bytes``. On the CPU ``rss_bytes``, the resident memory of the whole
    process; ``since`` says whether the peak is of the block (Linux lets a process reset it) or of its whole life.
    """
    usage: dict[str, Any] = {}
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield usage
        usage["allocated_bytes"] = torch.cuda.max_memory_allocated(device)
        usage["reserved_bytes"] = torch.cuda.max_memory_reserved(device)
        return
    was_reset = _reset_peak()
    yield usage
    usage["rss_bytes"] = _status_bytes("VmHWM") or _highest_ever()
    usage["since"] = "the block's start" if was_reset else "the process's start"


def resident_bytes() -> int | None:
    """Return the resident memory of this process, or None where the system does not tell."""
    return _status_bytes("VmRSS")


def available_bytes(device: torch.device) -> int | None:
    """Return the free bytes of the device, or of the container's memory; None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    sizes = (_line_bytes(_MEMINFO, "MemAvailable"), memory_left())
    return min((size for size in sizes if size is not None), default=None)


def _reset_peak() -> bool:
    try:
        _CLEAR.write_text("5")  # resets VmHWM, see proc(5)
    except OSError:
        return False
    return True


def _status_bytes(name: str) -> int | None:
    return _line_bytes(_STATUS, name)


def _line_bytes(path: Path, name: str) -> int | None:
    if not path.exists():
        return None
    for line in path.read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return None


def _highest_ever() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
