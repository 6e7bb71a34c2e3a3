"""Read NVIDIA's management library (NVML): driver, clocks, heat, and which other processes compute on a GPU.

linbench reads and never sets. On another maker's GPU, or where the library does not answer, the round holds none of
this.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pynvml
import torch

#: NVML's reasons for clocks below what the work needs; idleness and clocks that a person set are not among them.
THROTTLING = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}


@contextmanager
def _handle(device: torch.device) -> Iterator[Any]:
    """Yield NVML's handle of a CUDA device, matched by its UUID; None where NVML does not answer."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        properties: Any = torch.cuda.get_device_properties(device)
        yield pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{properties.uuid}")
    finally:
        pynvml.nvmlShutdown()


def state(device: torch.device) -> dict[str, Any]:
    """Return driver, SM and memory clock (MHz), temperature (°C), power (W) and throttle reasons (NVML's bits)."""
    with _handle(device) as gpu:
        if gpu is None:
            return {}
        return {
            "driver": pynvml.nvmlSystemGetDriverVersion(),
            "sm_mhz": pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM),
            "memory_mhz": pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_MEM),
            "celsius": pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU),
            "watts": pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
            "throttle_reasons": pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu),
        }


def throttled(*states: Mapping[str, Any]) -> list[str]:
    """Return what throttled the GPU in any of these states, in words; nothing where NVML did not answer."""
    bits = 0
    for entries in states:
        bits |= entries.get("throttle_reasons", 0)
    return [word for bit, word in THROTTLING.items() if bits & bit]


def contention(device: torch.device) -> str:
    """Say which other processes compute on the GPU; empty where there are none, and on a CPU."""
    pids = other_processes(device) if device.type == "cuda" else []
    return f"{len(pids)} other processes compute on this GPU: {', '.join(map(str, pids))}" if pids else ""


def other_processes(device: torch.device) -> list[int]:
    """Return the ids of the processes other than this one that hold a compute context on the GPU."""
    with _handle(device) as gpu:
        if gpu is None:
            return []
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)
        return sorted(process.pid for process in running if process.pid != os.getpid())


def joules(device: torch.device) -> Callable[[], float] | None:
    """Return a reader of the GPU's energy counter, in J since its driver was loaded; None where it has none."""

    def read() -> float:
        with _handle(device) as gpu:
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)) / 1000

    with _handle(device) as gpu:
        if gpu is None:
            return None
        try:
            pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
        except pynvml.NVMLError:
            return None
    return read
