"""The key of a latency: all that moves it, typed; in a record a flat JSON object."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from linbench.suites.latency.options import Part
from linbench.suites.latency.settings import Settings
from linbench.suites.runner.device import Dtype, Machine
from linbench.suites.runner.resolutions import Size

SUITE = "latency"
VERSION = 3
SEARCH_VERSION = 2  # raised when a search chooses in another way
MODES = {False: "latency", True: "latency and energy"}


@dataclass(frozen=True)
class TimedModel:
    """The part of a model that is timed.

    fusion: ``none`` where nothing is fused.  prompts: Boxes that are decoded, 0 where none are.
    options: Of the backbone.
    """

    backbone: str
    part: Part
    fusion: str = "none"
    prompts: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LatencyKey:
    """All that moves the latency of one forward.

    size: Height and width of the image, px.  batch: Images in the forward.
    with_energy: Whether joules are measured too.
    """

    model: TimedModel
    size: Size
    dtype: Dtype
    machine: Machine
    settings: Settings
    with_energy: bool = False
    batch: int = 1
    version: int = VERSION

    def to_json(self) -> dict[str, Any]:
        """Return the entries of a record's key."""
        return {
            "suite": SUITE,
            "suite_version": self.version,
            **_point(self),
            "mode": MODES[self.with_energy],
            "threads": self.machine.threads,
            **self.settings.to_json(),
        }

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> "LatencyKey":
        """Return the key of a record's entries."""
        model = TimedModel(
            entries["backbone"],
            Part(entries["part"]),
            entries["fusion"],
            entries["prompts"],
            entries["options"],
        )
        return cls(
            model=model,
            size=(entries["height"], entries["width"]),
            dtype=Dtype(entries["dtype"]),
            machine=Machine(entries["device"], entries["device_type"], entries["threads"]),
            settings=Settings.from_json(entries),
            with_energy=entries["mode"] == MODES[True],
            batch=entries["batch"],
            version=entries["suite_version"],
        )


def search_key(key: LatencyKey) -> dict[str, Any]:
    """Return the key of a search's record: that of a latency without settings, which it chooses."""
    return {
        "suite": "search",
        "suite_version": SEARCH_VERSION,
        **_point(key),
        "mode": MODES[False],
        "threads": key.machine.threads,
        "searched_by": SUITE,
    }


def _point(key: LatencyKey) -> dict[str, Any]:
    """Return the entries of model, size, dtype and device."""
    return {
        "backbone": key.model.backbone,
        "part": str(key.model.part),
        "fusion": key.model.fusion,
        "prompts": key.model.prompts,
        "options": dict(key.model.options),
        "height": key.size[0],
        "width": key.size[1],
        "batch": key.batch,
        "dtype": str(key.dtype),
        "device": key.machine.device,
        "device_type": key.machine.device_type,
    }
