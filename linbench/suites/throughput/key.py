"""The key of a throughput: that of a forward, without its batch, which the measurement chooses."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from linbench.suites.latency import key as latency
from linbench.suites.latency.key import LatencyKey

SUITE = "throughput"
VERSION = 2


@dataclass(frozen=True)
class ThroughputKey(LatencyKey):
    """All that moves a throughput; ``batch`` is 1, where the search for the best one begins."""

    engines_since: ClassVar[int] = 2

    @classmethod
    def of(cls, key: LatencyKey) -> "ThroughputKey":
        """Return the key of the throughput of a forward."""
        return cls(**{field.name: getattr(key, field.name) for field in fields(LatencyKey)} | {"version": VERSION})

    def to_json(self) -> dict[str, Any]:
        """Return the entries of a record's key."""
        entries = super().to_json() | {"suite": SUITE, "mode": SUITE}
        return {name: value for name, value in entries.items() if name != "batch"}

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> "ThroughputKey":
        """Return the key of a record's entries."""
        return cls.of(LatencyKey.from_json({**entries, "batch": 1, "mode": latency.MODES[False]}))
