"""What was measured, ready to be looked up by the tables of the paper: rates, scores, counts; all of one device."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from linbench.reports.paper.cell import Measured
from linbench.reports.paper.scores import Score

PRESETS = ("paper", "best")
#: Parts of a latency record's key that say the same in all cells of the paper, or that a line names itself.
UNSAID = ("suite", "suite_version", "device", "device_type", "batch", "mode", "part", "prompts", "fusion")


@dataclass(frozen=True)
class Count:
    """Which parameters are counted: of a backbone built for a size, with a 1000-class head or without."""

    backbone: str
    size: int
    head: bool = False
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        options = "".join(f", {name}={value}" for name, value in self.options)
        return f"{self.backbone}{options} at {self.size}², {'with' if self.head else 'without'} head"


@dataclass(frozen=True)
class Counted:
    """What a model has.

    width: Channels of its last map but the one at stride 32.
    """

    parameters: int
    width: int


@dataclass(frozen=True)
class Stage:
    """A row of Table 1."""

    stride: int
    blocks: int
    channels: int


@dataclass(frozen=True)
class Found:
    """A measured number for a line, and what it has in common with others of its column."""

    conditions: Mapping[str, str]
    measured: Measured


@dataclass(frozen=True)
class Evidence:
    """All that is known, of one device.

    latency: From ``reports.rows.rows``.
    counts, stages: Computed from the models; by name for the latter.
    closed: Hash of each recipe of ours as it stands; a score of another hash is ``open``.
    sets: Images and masks of training sets, by the sets' names.
    """

    device: str = ""
    latency: pd.DataFrame = field(default_factory=pd.DataFrame)
    scores: Sequence[Score] = ()
    counts: Mapping[Count, Counted] = field(default_factory=dict)
    stages: Mapping[str, Sequence[Stage]] = field(default_factory=dict)
    closed: Mapping[str, str] = field(default_factory=dict)
    sets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def parameters(self, count: Count) -> list[Found]:
        """The parameters, in millions."""
        if count not in self.counts:
            return []
        return [Found({}, Measured(self.counts[count].parameters / 1e6, provenance={"counted": str(count)}))]

    def rates(self, backbone: str, size: int, part: str = "backbone", fusion: str = "none") -> list[Found]:
        """Images per second of ``size``², batch 1, one for each comparison that has the backbone, in PRESETS only."""
        frame = self.latency
        if frame.empty:
            return []
        mine = (frame["backbone"] == backbone) & (frame["options"] == "{}")
        mine &= (frame["height"] == size) & (frame["width"] == size) & frame["preset"].isin(PRESETS)
        mine &= _column(frame, "mode", "latency") == "latency"
        mine &= _column(frame, "part", "backbone") == part
        if part != "backbone":
            mine &= (_column(frame, "fusion", "none") == fusion) & (_column(frame, "prompts", 1) == 1)
        return [self._rate(row) for _, row in frame[mine].iterrows()]

    def _rate(self, row: pd.Series) -> Found:
        key = {name: str(value) for name, value in json.loads(row["comparison"]).items() if name not in UNSAID}
        provenance = {
            **key,
            "attention": str(row["attention"]),
            "chosen": str(row["chosen"]),
            "samples": str(row["n"]),
            "converged": "yes" if row["converged"] else "no",
            "torch": str(row["torch"]),
            "commit": str(row["git_commit"])[:9],
            **({"stale": "measured by other code than the present"} if row["stale"] else {}),
        }
        provenance = {name: value for name, value in provenance.items() if value not in ("", "none")}
        ok = row["status"] == "ok"
        value, low, high = (1000 / row[name] if ok else math.nan for name in ("median_ms", "high_ms", "low_ms"))
        return Found(
            key,
            Measured(
                value,
                low,
                high,
                interval=row["interval"] if ok else "none",
                n=int(row["rounds"]),
                status=row["status"],
                device=self.device,
                provenance=provenance,
            ),
        )


def _column(frame: pd.DataFrame, name: str, default: str | int) -> pd.Series:
    """A column of the key; records older than that part of it have the default."""
    return frame[name].fillna(default) if name in frame else pd.Series(default, index=frame.index)
