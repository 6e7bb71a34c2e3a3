"""What NVIDIA's management library tells about a GPU: driver, clocks, heat, and who else computes on it.

linbench reads and never sets. On another maker's GPU, or where the library does not answer, nothing is known and
the round says so by holding none of this.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pynvml
import torch


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


def others(device: torch.device) -> list[int]:
    """Processes other than this one that hold a compute context on the GPU."""
    with _handle(device) as gpu:
        if gpu is None:
            return []
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)
        return sorted(process.pid for process in running if process.pid != os.getpid())
