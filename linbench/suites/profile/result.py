"""What a profile holds: the time, work and memory of each module and of each operator that it calls."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

SCHEMA = 1


@dataclass(frozen=True)
class Subject:
    """What was profiled, and where.

    model: The registered name, or the class of a live module.  part: ``module`` for a live one.
    size: Height and width, px.  device: Its own name.  process: ``fresh``, or ``this one`` for a live module.
    settings: Of the forward, as in a latency's key; empty for a live module.
    """

    model: str
    part: str
    size: tuple[int, int]
    batch: int
    dtype: str
    device: str
    device_type: str
    threads: int
    process: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModuleProfile:
    """One module, by the name that ``named_modules`` gives it; the whole model is ``""``.

    calls: In one forward; 0 for a container, or where another module reads the parameters itself.
    own_ms: Without the modules that it calls.
    peak_bytes: Most memory that tensors of the forward held while it ran; None where it never ran.
    """

    name: str
    type: str
    calls: int
    own_ms: float
    parameters: int
    peak_bytes: int | None


@dataclass(frozen=True)
class OperatorProfile:
    """The calls of one operator that a module makes itself.

    bytes: Each input read once, each output written once.
    """

    module: str
    operator: str
    calls: int
    ms: float
    flops: int
    bytes: int


@dataclass(frozen=True)
class Rates:
    """What this machine can do: a matrix product in the dtype, FLOP/s, and a copy, B/s."""

    flops_per_s: float
    bytes_per_s: float


@dataclass(frozen=True)
class Profile:
    """Where the time of a forward goes.

    plain_ms, profiled_ms: Raw times of forwards in turn, without and with the profiler.
    whole_ms: Mean of the profiled forwards that the parts are of: the half nearest the median.
    outside_ms: Of it, in no module; on a GPU, the time in which no kernel ran.
    flops: Of one forward, with ``coverage`` and ``missing`` as in ``complexity``.
    conditions: Seed, time, load, use of the processor, peak memory, versions.
    """

    subject: Subject
    plain_ms: tuple[float, ...]
    profiled_ms: tuple[float, ...]
    whole_ms: float
    outside_ms: float
    rates: Rates
    modules: tuple[ModuleProfile, ...]
    operators: tuple[OperatorProfile, ...]
    flops: Mapping[str, Any]
    conditions: Mapping[str, Any]

    @property
    def overhead(self) -> float:
        """How much longer a profiled forward takes than a plain one, as a fraction of the plain median."""
        return median(self.profiled_ms) / median(self.plain_ms) - 1

    def inclusive_ms(self, name: str) -> float:
        """Return the time of a module and of all modules below its name; raises KeyError."""
        below = [m for m in self.modules if m.name == name or name == "" or m.name.startswith(f"{name}.")]
        if not below:
            raise KeyError(name)
        return sum(module.own_ms for module in below)

    def to_json(self) -> dict[str, Any]:
        """Return the profile as JSON: a document that reports read."""
        return {"schema": SCHEMA, **asdict(self), "overhead": self.overhead}

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> "Profile":
        """Return the profile that ``to_json`` turned into ``entries``."""
        subject = Subject(**{**entries["subject"], "size": tuple(entries["subject"]["size"])})
        return cls(
            subject=subject,
            plain_ms=tuple(entries["plain_ms"]),
            profiled_ms=tuple(entries["profiled_ms"]),
            whole_ms=entries["whole_ms"],
            outside_ms=entries["outside_ms"],
            rates=Rates(**entries["rates"]),
            modules=tuple(ModuleProfile(**module) for module in entries["modules"]),
            operators=tuple(OperatorProfile(**operator) for operator in entries["operators"]),
            flops=entries["flops"],
            conditions=entries["conditions"],
        )
