"""The options of the suite ``kernels``."""

from dataclasses import dataclass
from enum import StrEnum

from linbench.choices import Impl
from linbench.suites.runner.device import DeviceOptions
from linbench.suites.runner.options import option


class Direction(StrEnum):
    """What of an op is timed."""

    FORWARD = "forward"
    BACKWARD = "backward"


@dataclass(frozen=True, kw_only=True)
class KernelOptions(DeviceOptions):
    """The cells of ``kernels``: every op × case × implementation × dtype × direction."""

    ops: tuple[str, ...] = option((), "Ops, by comma; default all.", flag="--op", comma=True, panel="Kernels")
    cases: tuple[str, ...] = option(
        (),
        "Cases, by comma; *1024 is a pattern; default all but toy.",
        flag="--case",
        comma=True,
        panel="Kernels",
    )
    directions: tuple[Direction, ...] = option(
        tuple(Direction),
        "forward, backward, or both by comma.",
        flag="--direction",
        choices=tuple(Direction),
        comma=True,
        panel="Kernels",
        shown="forward,backward",
    )
    impl: Impl | None = option(
        None,
        "reference, fast or vendor; default fast, and vendor where it is installed.",
        choices=tuple(Impl),
        panel="Kernels",
    )
