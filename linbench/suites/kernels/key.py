"""The key of a kernel's time: all that moves it, typed; in a record a flat JSON object."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from linbench.choices import Impl
from linbench.suites.kernels.options import Direction
from linbench.suites.runner.device import Dtype, Machine

VERSION = 1


@dataclass(frozen=True)
class TimedCase:
    """One op at one shape, of a linear layer of ``width`` channels over ``batch`` × ``tokens``."""

    op: str
    name: str
    batch: int
    tokens: int
    width: int


@dataclass(frozen=True)
class KernelKey:
    """All that moves the time of an op; ``matmul``, ``tf32`` and ``allocator`` as in ``latency``'s settings."""

    case: TimedCase
    direction: Direction
    impl: Impl
    dtype: Dtype
    machine: Machine
    matmul: str
    tf32: bool
    allocator: str
    version: int = VERSION

    def to_json(self) -> dict[str, Any]:
        """Return the entries of a record's key."""
        return {
            "suite": "kernels",
            "suite_version": self.version,
            "op": self.case.op,
            "case": self.case.name,
            "batch": self.case.batch,
            "tokens": self.case.tokens,
            "width": self.case.width,
            "direction": str(self.direction),
            "impl": str(self.impl),
            "dtype": str(self.dtype),
            **self.machine.to_json(),
            "matmul": self.matmul,
            "tf32": self.tf32,
            "allocator": self.allocator,
            "l2_flushed": self.machine.device_type == "cuda",
        }

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> "KernelKey":
        """Return the key of a record's entries."""
        case = TimedCase(*(entries[name] for name in ("op", "case", "batch", "tokens", "width")))
        return cls(
            case=case,
            direction=Direction(entries["direction"]),
            impl=Impl(entries["impl"]),
            dtype=Dtype(entries["dtype"]),
            machine=Machine(entries["device"], entries["device_type"], entries["threads"]),
            matmul=entries["matmul"],
            tf32=entries["tf32"],
            allocator=entries["allocator"],
            version=entries["suite_version"],
        )
