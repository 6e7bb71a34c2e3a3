"""The device that ``--device`` names, the dtypes of ``--dtype``, and the machine that stands in every key."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from linbench.environment import cpu_name
from linbench.suites.runner.options import SuiteOptions, option
from linbench.system.threads import thread_count

if TYPE_CHECKING:
    import torch


class Dtype(StrEnum):
    """Dtypes of a model and its input."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"

    @property
    def torch(self) -> "torch.dtype":
        """The dtype of torch."""
        import torch

        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[self]


@dataclass(frozen=True, kw_only=True)
class DeviceOptions(SuiteOptions):
    """The options of a suite that say where and in which dtype it runs."""

    dtypes: tuple[Dtype, ...] = option(
        (Dtype.FLOAT32,),
        "float32, bfloat16, float16, by comma.",
        flag="--dtype",
        choices=tuple(Dtype),
        comma=True,
        panel="Device",
        shown="float32",
    )
    device: str = option("auto", "auto, cpu, cuda or cuda:N.", panel="Device", shown="auto")
    threads: int | None = option(None, "CPU threads; default OMP_NUM_THREADS or all cores.", kind=int, panel="Device")


@dataclass(frozen=True)
class Machine:
    """What runs a cell: the device's own name, ``cpu`` or ``cuda``, and the number of CPU threads."""

    device: str
    device_type: str
    threads: int

    def to_json(self) -> dict[str, str | int]:
        """Return the entries of a key."""
        return {"device": self.device, "device_type": self.device_type, "threads": self.threads}


def find_machine(options: DeviceOptions) -> Machine:
    """Return the machine that the options name; raises ValueError."""
    import torch

    device = find_device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    return Machine(name, device.type, thread_count(options.threads))


def find_timed_machine(options: DeviceOptions) -> Machine:
    """Return the machine of a suite whose rounds run in processes of their own, each on the first GPU that it sees.

    Raises ValueError, also for another GPU: a time would stand under its name that it did not take.
    """
    device = find_device(options.device)
    if device.index:
        raise ValueError(
            f"--device {options.device}: rounds run on the first visible GPU; for this one set "
            f"CUDA_VISIBLE_DEVICES={device.index} and write --device cuda"
        )
    return find_machine(options)


def find_device(name: str) -> "torch.device":
    """Return the device of the name: ``auto`` is CUDA where there is one; raises ValueError for an unknown one."""
    import torch

    if "," in name:
        raise ValueError(
            f"--device {name}: name one device; for several GPUs, --shard i/n splits the cells between runs, each "
            "with its own CUDA_VISIBLE_DEVICES"
        )
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"--device {name}: allowed are auto, cpu, cuda and cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ValueError(f"--device {name}: torch sees {count} CUDA devices here; `linbench doctor` says why")
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device
