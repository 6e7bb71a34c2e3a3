"""What NVIDIA's management library tells about a GPU: driver, clocks, heat, and who else computes on it.

linbench reads and never sets. On another maker's GPU, or where the library does not answer, nothing is known and
the round says so by holding none of this.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pynvml
import torch

#: NVML's bits of what holds clocks below what the work asks for; idleness and clocks set by a person are none.
THROTTLING = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}


@contextmanager
def _handle(device: torch.device) -> Iterator[Any]:
    """NVML's handle of a CUDA device, matched by its UUID and not by its number; None where NVML does not answer."""
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
    """Driver, SM and memory clock (MHz), temperature (°C), power (W), throttle reasons (NVML's bits) now."""
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
    """What throttled the GPU in any of these states, in words; none where nothing is known."""
    bits = 0
    for each in states:
        bits |= each.get("throttle_reasons", 0)
    return [word for bit, word in THROTTLING.items() if bits & bit]


def others(device: torch.device) -> list[int]:
    """Processes other than this one that hold a compute context on the GPU."""
    with _handle(device) as gpu:
        if gpu is None:
            return []
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)
        return sorted(process.pid for process in running if process.pid != os.getpid())


def joules(device: torch.device) -> Callable[[], float] | None:
    """A reader of the GPU's energy counter, in J since its driver was loaded; None where it has none."""

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
