"""The GPU's management library: who else is there, and silence where it does not answer."""

import os
from types import SimpleNamespace

import pynvml
import pytest
import torch

from linbench.suites.runner import gpu

DEVICE = torch.device("cuda", 0)


def test_without_a_driver_nothing_is_known_and_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", refuse)
    assert gpu.state(DEVICE) == {}
    assert gpu.other_processes(DEVICE) == []
    assert gpu.joules(DEVICE) is None


@pytest.mark.parametrize(
    ("reasons", "message"),
    [
        (0x00, []),
        (0x01 | 0x02 | 0x10, []),  # idle, clocks set by a person, boost in step
        (0x04 | 0x40, ["power cap", "hardware thermal slowdown"]),
        (0x88, ["hardware slowdown", "power brake"]),
    ],
)
def test_throttling_is_told_from_idleness(reasons: int, message: list[str]) -> None:
    assert gpu.throttled({"throttle_reasons": reasons, "sm_mhz": 1980}) == message
    assert gpu.throttled({}, {"throttle_reasons": reasons}) == message  # before or after the samples


def test_this_process_is_not_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = []
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="12-34"))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: arguments.append(uuid) or "handle")
    running = [SimpleNamespace(pid=os.getpid()), SimpleNamespace(pid=1)]
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", lambda _: running)
    assert gpu.other_processes(DEVICE) == [1]
    assert arguments == ["GPU-12-34"]
