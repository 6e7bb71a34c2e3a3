"""The memory that a step may take: what counts as used, and a guard against taking far more.

A step fits where its peak, as it is reported, is within the limit. The guard only keeps a try from filling the
machine: on a GPU torch's allocator refuses beyond the limit; on Linux the process gets no data pages beyond twice the
limit, or beyond what is free (``RLIMIT_DATA``). Either ends the try as out of memory.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from linbench.suites.runner.memory import available_bytes

GIB = 2**30
MARGIN = GIB  # of the guard, above twice the limit: what libraries set up, which is no part of a step
_STATUS = Path("/proc/self/status")


def used_bytes(memory: Mapping[str, Any], empty: int | None) -> int:
    """Return what a step took of a peak: reserved on a GPU, else resident above the process before its model."""
    return int(memory["reserved_bytes"]) if "reserved_bytes" in memory else int(memory["rss_bytes"]) - (empty or 0)


def excess(used: int, limit_gib: float | None, batch: int) -> str:
    """Say in one sentence why a step does not fit; empty where it does."""
    if limit_gib is None or used <= limit_gib * GIB:
        return ""
    images = "1 image" if batch == 1 else f"{batch} images"
    return f"a step of {images} takes {used / GIB:.2f} GiB, more than {limit_gib:.2f} GiB"


@contextmanager
def guard(device: torch.device, limit_gib: float | None) -> Iterator[None]:
    """Refuse memory to this process far beyond the limit while the block runs; nothing without a limit."""
    if limit_gib is None:
        yield
        return
    limit = int(limit_gib * GIB)
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total), device)
        yield
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        return
    with _data_limit(min(2 * limit + MARGIN, available_bytes(device) or sys.maxsize)):
        yield


@contextmanager
def _data_limit(more: int) -> Iterator[None]:
    """Limit the data pages of this process to those that it has and ``more`` bytes, where the system can (Linux)."""
    present = _data_bytes()
    if present is None:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    ends = [present + more, *(end for end in (soft, hard) if end != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(ends), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int | None:
    """Return the data pages of this process, which ``RLIMIT_DATA`` counts; None where the system does not tell."""
    if not _STATUS.exists():
        return None
    lines = _STATUS.read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")), None)
