"""Limits of containers, read from folders laid out as Linux, Docker and Kubernetes have them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from linbench.system.cgroup import cpu_quota, memory_left, memory_limit

MIB = 2**20


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    """A folder with what /proc/self/cgroup says, and files below /sys/fs/cgroup."""
    written = {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()}}
    for name, text in written.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_a_machine_without_groups_has_no_limits(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is memory_limit(tmp_path) is memory_left(tmp_path) is None


def test_max_and_minus_one_are_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(machine(tmp_path / "2", "0::/", {"cpu.max": "max 100000", "memory.max": "max"})) is None
    assert memory_limit(tmp_path / "2") is None
    old = {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}
    assert cpu_quota(machine(tmp_path / "1", "1:cpu,cpuacct:/", old)) is None


def test_the_tightest_of_nested_groups_counts(tmp_path: Path) -> None:
    files = {"cpu.max": "max 100000", "a/cpu.max": "150000 100000", "a/b/cpu.max": "400000 100000"}
    assert cpu_quota(machine(tmp_path / "above", "0::/a/b", files)) == 1.5
    assert cpu_quota(machine(tmp_path / "own", "0::/a/b", {**files, "a/b/cpu.max": "50000 100000"})) == 0.5
    assert cpu_quota(machine(tmp_path / "beside", "0::/c", files)) is None


def test_a_path_of_the_host_falls_back_to_the_mount_of_the_container(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/kubepods/pod1/abc\n", {"cpu.max": "200000 100000", "memory.max": str(64 * MIB)})
    assert cpu_quota(root) == 2
    assert memory_limit(root) == 64 * MIB


def test_version_1_is_read_under_either_name_of_its_mount(tmp_path: Path) -> None:
    files = {"cpu.cfs_quota_us": "300000", "cpu.cfs_period_us": "200000"}
    for mount in ("cpu", "cpu,cpuacct"):
        under = {f"{mount}/docker/x/{name}": text for name, text in files.items()}
        assert cpu_quota(machine(tmp_path / mount, "4:cpu,cpuacct:/docker/x\n1:name=systemd:/", under)) == 1.5


def test_version_1_memory_has_a_huge_number_for_none_and_its_parent_may_limit(tmp_path: Path) -> None:
    files = {"memory/a/memory.limit_in_bytes": str(2**63 - 4096), "memory/memory.limit_in_bytes": str(512 * MIB)}
    assert memory_limit(machine(tmp_path, "4:memory:/a", files)) == 512 * MIB


def test_page_cache_that_can_be_dropped_counts_as_left(tmp_path: Path) -> None:
    files = {"memory.max": str(100 * MIB), "memory.current": str(90 * MIB)}
    root = machine(tmp_path, "0::/", {**files, "memory.stat": f"anon 1\ninactive_file {30 * MIB}"})
    assert memory_left(root) == 40 * MIB


@pytest.mark.parametrize("text", ["", "x y", "100000 0", "-5 100000", "100000 -1", "1.5 1"])
def test_a_malformed_quota_is_none(tmp_path: Path, text: str) -> None:
    assert cpu_quota(machine(tmp_path, "0::/", {"cpu.max": text})) is None


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root")
def test_a_quota_of_the_real_tree_gives_the_threads() -> None:
    """A private mount namespace shows this process a quota of one CPU, as ``docker run --cpus=1`` does."""
    code = "from linbench.system.threads import default_threads; print(default_threads(environ={}))"
    script = 'mount -t tmpfs t /sys/fs/cgroup && echo "150000 100000" > /sys/fs/cgroup/cpu.max && exec "$0" -c "$1"'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, sys.executable, code], capture_output=True, text=True)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no mount namespace here: {done.stderr.strip()}")
    expected = "1 thread" if len(os.sched_getaffinity(0)) == 1 else "1 thread: the container's quota is 1.5 of "
    assert done.stdout.startswith(expected), done.stderr
