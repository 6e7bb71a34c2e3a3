"""The key of a latency: all that moves it, typed; in a record a flat JSON object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from linbench.engines.contract import COMPILE
from linbench.suites.latency.options import Part
from linbench.suites.latency.settings import Settings
from linbench.suites.runner.device import Dtype, Machine
from linbench.suites.runner.resolutions import Size

SUITE = "latency"
VERSION = 4
EAGER_SEARCH_VERSION = 2  # of a search that chooses no engine
SEARCH_VERSION = 3  # raised when a search chooses in another way
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

    engines_since: ClassVar[int] = 4  # the first version whose keys name an engine

    def to_json(self) -> dict[str, Any]:
        """Return the entries of a record's key."""
        entries = {
            "suite": SUITE,
            "suite_version": self.version,
            **_point(self),
            "mode": MODES[self.with_energy],
            "threads": self.machine.threads,
            **self.settings.to_json(),
        }
        return entries if self.version >= self.engines_since else _before_engines(entries)

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


def _before_engines(entries: dict[str, Any]) -> dict[str, Any]:
    """Return the entries as versions without engines wrote them: ``compile`` in their place."""
    kept = {name: value for name, value in entries.items() if not name.startswith("engine")}
    return kept | {"compile": entries["engine"] == COMPILE}


def search_key(key: LatencyKey, engines: Sequence[str] = ()) -> dict[str, Any]:
    """Return the key of a search's record: that of a latency without settings, which it chooses.

    engines: Those that it chooses from; none where all its candidates are eager, as in all searches of version 2.
    """
    chooses_engine = {"suite_version": SEARCH_VERSION, "engines": list(engines)} if engines else {}
    return {
        "suite": "search",
        "suite_version": EAGER_SEARCH_VERSION,
        **_point(key),
        "mode": MODES[False],
        "threads": key.machine.threads,
        "searched_by": SUITE,
        **chooses_engine,
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
