"""The device that an option names."""

import pytest
import torch

from linbench.suites.runner.device import DeviceOptions, find_device, find_timed_machine


@pytest.mark.parametrize("name", ["cuda:0,cuda:1", "cpu,cuda"])
def test_several_devices_are_refused_with_the_way_to_use_them(name: str) -> None:
    with pytest.raises(ValueError, match=f"--device {name}: name one device; for several GPUs, --shard i/n splits"):
        find_device(name)


def test_the_processor_is_found_by_its_name() -> None:
    assert find_device("cpu").type == "cpu"


def test_a_time_stands_under_no_other_gpus_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="set CUDA_VISIBLE_DEVICES=1 and write --device cuda"):
        find_timed_machine(DeviceOptions(device="cuda:1"))
