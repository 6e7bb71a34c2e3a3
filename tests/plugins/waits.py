"""A suite as a plug-in, with an option of its own: one file, one decorator."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from linbench.records import Status
from linbench.suites import Cell, Outcome, Suite, suite
from linbench.suites.runner.options import SuiteOptions, option
from linbench.suites.runner.sampling import sample


class Mood(StrEnum):
    """How long a wait feels."""

    CALM = "calm"
    HASTY = "hasty"


@dataclass(frozen=True, kw_only=True)
class WaitOptions(SuiteOptions):
    """The cells of ``waits``."""

    naps: tuple[int, ...] = option(
        (1,), "Lengths of a nap, ms, by comma.", flag="--nap", kind=int, minimum=1, comma=True, panel="Naps"
    )
    moods: tuple[Mood, ...] = option(
        (Mood.CALM,), "calm or hasty; repeatable.", flag="--mood", choices=tuple(Mood), repeatable=True, panel="Naps"
    )
    deep: bool = option(False, "Wait twice.", kind=bool, panel="Naps")


@dataclass(frozen=True)
class WaitKey:
    """One nap."""

    nap_ms: int
    mood: str
    deep: bool

    def to_json(self) -> dict[str, Any]:
        """Return the entries of a record's key."""
        fixed = {"suite": "waits", "suite_version": 1, "op": "nap", "case": f"{self.nap_ms} ms", "device": "clock"}
        return {
            **fixed,
            "direction": self.mood,
            "impl": "none",
            "dtype": "none",
            "nap_ms": self.nap_ms,
            "deep": self.deep,
        }

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> "WaitKey":
        """Return the key of a record's entries."""
        return cls(entries["nap_ms"], entries["direction"], entries["deep"])


def cells(options: WaitOptions) -> list[Cell[WaitKey]]:
    """Plan every nap × mood."""
    keys = (WaitKey(nap, str(mood), options.deep) for nap in options.naps for mood in options.moods)
    return [Cell(key, "hash", {}) for key in keys]


def measure(key: WaitKey, seconds: float, seed: int) -> Outcome:
    """Nap, and return how long it took."""

    def nap() -> float:
        start = time.perf_counter()
        time.sleep(key.nap_ms * (1 + key.deep) / 1000)
        return 1000 * (time.perf_counter() - start)

    samples = sample(nap, seconds)
    return Outcome(Status.OK, round={"samples_ms": samples.samples_ms, "converged": samples.converged, "seed": seed})


@suite("waits", version=1)
def waits() -> Suite[WaitOptions, WaitKey]:
    """Naps."""
    return Suite(WaitOptions, WaitKey, cells, measure, named_by=("case",), examples=("--suite waits --nap 1,2",))
