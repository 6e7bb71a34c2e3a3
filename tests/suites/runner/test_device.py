"""The device that an option names."""

import pytest

from linbench.suites.runner.device import find_device


@pytest.mark.parametrize("name", ["cuda:0,cuda:1", "cpu,cuda"])
def test_several_devices_are_refused_with_the_way_to_use_them(name: str) -> None:
    with pytest.raises(ValueError, match=f"--device {name}: name one device; for several GPUs, --shard i/n splits"):
        find_device(name)


def test_the_processor_is_found_by_its_name() -> None:
    assert find_device("cpu").type == "cpu"
