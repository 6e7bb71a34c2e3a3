"""Limits of the container: what ``docker run --cpus --memory``, Kubernetes and systemd set through control groups.

A CPU quota is no affinity: a process sees every core and is throttled. The tightest limit counts, of the process's
own group and of those above it. Inside a container the path that /proc/self/cgroup gives may not exist below the
mount; its parents do. Sources: Linux's ``admin-guide/cgroup-v2.rst`` and ``scheduler/sched-bwc.rst``.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")
_MOUNT = "sys/fs/cgroup"


def cpu_quota(root: Path = ROOT) -> float | None:
    """Return the CPU time per second that this process may take, in cores; None without a quota.

    root: The folder that holds ``proc`` and ``sys``.
    """
    folders = list(_groups(root, "cpu"))
    quotas = [*map(_v2_quota, folders), *map(_v1_quota, folders)]
    return min((quota for quota in quotas if quota is not None), default=None)


def memory_limit(root: Path = ROOT) -> int | None:
    """Return the bytes that this process and its group may hold; None without a limit."""
    limits = (_limit(folder) for folder in _groups(root, "memory"))
    return min((limit for limit in limits if limit is not None), default=None)


def memory_left(root: Path = ROOT) -> int | None:
    """Return the bytes until the tightest limit, where page cache that can be dropped counts as free; or None."""
    free = []
    for folder in _groups(root, "memory"):
        limit = _limit(folder)
        used = _first(_number(folder / "memory.current"), _number(folder / "memory.usage_in_bytes"))
        if limit is not None and used is not None:
            free.append(max(0, limit - used + _droppable(folder)))
    return min(free, default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield where the groups of this process may be mounted, each followed by those above it."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        # A hybrid host mounts version 2 below "unified", and version 1 by all controllers of the group or by one.
        mounts = (controllers, controller) if controllers else ("", "unified")
        parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
        for mount in dict.fromkeys(mounts):
            for depth in range(len(parts), -1, -1):
                yield root.joinpath(_MOUNT, mount, *parts[:depth])


def _v2_quota(folder: Path) -> float | None:
    quota, _, period = _text(folder / "cpu.max").partition(" ")
    return _ratio(quota, period or "100000")


def _v1_quota(folder: Path) -> float | None:
    return _ratio(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    """Return µs of CPU over µs of time; None for ``max`` and for -1, which mean no quota."""
    if not (quota.isdecimal() and period.isdecimal()) or int(period) == 0:
        return None
    return int(quota) / int(period)


def _limit(folder: Path) -> int | None:
    return _first(_number(folder / "memory.max"), _number(folder / "memory.limit_in_bytes"))


def _droppable(folder: Path) -> int:
    for line in _text(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == "inactive_file" and value.isdecimal():
            return int(value)
    return 0


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
