"""Measure joules per image over ten seconds, with the part that the idle device would have taken (rule 15)."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from linbench.suites.runner import gpu

IDLE_SECONDS = 5.0
BUSY_SECONDS = 10.0
_RAPL = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Counter:
    """An energy counter.

    read: Joules of each part since some time.  wraps: Joules after which each starts again at 0.
    source: Whose energy it is.
    """

    read: Callable[[], tuple[float, ...]]
    wraps: tuple[float, ...]
    source: str

    def between(self, before: tuple[float, ...], after: tuple[float, ...]) -> float:
        """Return the joules of all parts together from one reading to a later one."""
        return sum((b - a) % wrap for a, b, wrap in zip(before, after, self.wraps, strict=True))


def counter(device: torch.device) -> Counter | None:
    """Return the device's energy counter: NVML's of a GPU, RAPL's of a CPU; None where none can be read."""
    if device.type == "cuda":
        joules = gpu.joules(device)
        return Counter(lambda: (joules(),), (float("inf"),), "the GPU's board") if joules else None
    return rapl([path for path in sorted(_RAPL.glob("intel-rapl:*")) if path.name.count(":") == 1])


def rapl(packages: list[Path]) -> Counter | None:
    """Return the counters of these packages, whose files are in µJ; None where none exists or may be read."""

    def read(name: str = "energy_uj") -> tuple[float, ...]:
        return tuple(int((path / name).read_text()) / 1e6 for path in packages)

    try:
        read()
        wraps = read("max_energy_range_uj")
    except (OSError, ValueError):
        return None
    return Counter(read, wraps, "the processor's packages, with whatever else ran on them") if packages else None


def energy(
    run: Callable[[], object],
    wait: Callable[[], None],
    meter: Counter | None,
    idle_s: float = IDLE_SECONDS,
    busy_s: float = BUSY_SECONDS,
) -> dict[str, Any]:
    """Return the joules per image of ``run`` over ``busy_s``, after ``idle_s`` of rest, or why there are none.

    run: One forward, which may be queued.  wait: Waits until all queued forwards are done.
    """
    if meter is None:
        return {"missing": "this device has no energy counter that may be read here"}
    wait()
    begin, before = time.perf_counter(), meter.read()
    time.sleep(idle_s)
    idle_watts = meter.between(before, meter.read()) / (time.perf_counter() - begin)
    images, begin, before = 0, time.perf_counter(), meter.read()
    while time.perf_counter() - begin < busy_s:
        run()
        wait()
        images += 1
    joules, seconds = meter.between(before, meter.read()), time.perf_counter() - begin
    return {"of": meter.source, **per_image(joules, seconds, images, idle_watts)}


def per_image(joules: float, seconds: float, images: int, idle_watts: float) -> dict[str, float]:
    """Return the joules of one image, idle device included, the idle part as a fraction, and their inputs."""
    return {
        "joules_per_image": joules / images,
        "idle_share": idle_watts * seconds / joules,
        "idle_watts": idle_watts,
        "images": images,
        "seconds": seconds,
    }
