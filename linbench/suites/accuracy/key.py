"""The key of an evaluation: all that moves its scores, typed; in a record a flat JSON object."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from linbench.engines.contract import EAGER, EngineKey
from linbench.suites.runner.device import Dtype, Machine
from linbench.suites.runner.resolutions import Size

#: Of each suite, raised when its numbers stop being comparable.
VERSIONS = {"dis": 1, "coift": 1, "hrsod": 1, "coco": 1, "imagenet": 1, "ade20k": 1, "masks": 1}


@dataclass(frozen=True)
class ScoredModel:
    """The model of an evaluation.

    options: Of the backbone.  fusion: ``none`` where nothing is fused.  size: Of its input, px.
    attention: ``none`` where the backbone has no choice.  checkpoint: Names the weights (``Weights.key``).
    engine: What runs it; in a record's key where it is not eager, which all records without it are.
    """

    backbone: str
    size: Size
    dtype: Dtype
    checkpoint: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    fusion: str = "none"
    impl: str = "fast"
    attention: str = "none"
    engine: EngineKey = field(default_factory=EngineKey)


@dataclass(frozen=True)
class ScoredData:
    """The images of an evaluation, and where its prompts come from.

    box_source: A file's name, ``ground truth`` or ``none``.  images: The first so many are evaluated.
    """

    dataset: str
    split: str
    checksum: str
    images: int
    box_source: str = "none"
    box_checksum: str = ""


@dataclass(frozen=True)
class AccuracyKey:
    """All that moves the scores of an evaluation.

    protocol: How images reach the model, by name, with its version.
    """

    suite: str
    version: int
    model: ScoredModel
    machine: Machine
    data: ScoredData
    protocol: str
    protocol_version: int

    def to_json(self) -> dict[str, Any]:
        """Return the entries of a record's key."""
        model, data = self.model, self.data
        return {
            "suite": self.suite,
            "suite_version": self.version,
            "backbone": model.backbone,
            "options": dict(model.options),
            "fusion": model.fusion,
            "height": model.size[0],
            "width": model.size[1],
            "dtype": str(model.dtype),
            **self.machine.to_json(),
            "impl": model.impl,
            "attention": model.attention,
            **(model.engine.to_json() if model.engine.name != EAGER else {}),
            "protocol": self.protocol,
            "protocol_version": self.protocol_version,
            "dataset": data.dataset,
            "split": data.split,
            "dataset_checksum": data.checksum,
            "box_source": data.box_source,
            "box_checksum": data.box_checksum,
            "checkpoint": model.checkpoint,
            "images": data.images,
        }

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> "AccuracyKey":
        """Return the key of a record's entries."""
        model = ScoredModel(
            backbone=entries["backbone"],
            size=(entries["height"], entries["width"]),
            dtype=Dtype(entries["dtype"]),
            checkpoint=entries["checkpoint"],
            options=entries["options"],
            fusion=entries["fusion"],
            impl=entries["impl"],
            attention=entries["attention"],
            engine=EngineKey.from_json(entries),
        )
        names = ("dataset", "split", "dataset_checksum", "images", "box_source", "box_checksum")
        return cls(
            suite=entries["suite"],
            version=entries["suite_version"],
            model=model,
            machine=Machine(entries["device"], entries["device_type"], entries["threads"]),
            data=ScoredData(*(entries[name] for name in names)),
            protocol=entries["protocol"],
            protocol_version=entries["protocol_version"],
        )
