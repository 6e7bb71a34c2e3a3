"""The key of a training step: that of a forward of backbone and neck, and how the step is taken."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from linbench.suites.latency import key as latency
from linbench.suites.latency.key import LatencyKey
from linbench.suites.training_step.options import Checkpointing

SUITE = "training-step"
VERSION = 1
MODES = {False: "training step", True: "largest batch"}


@dataclass(frozen=True)
class TrainingStepKey(LatencyKey):
    """All that moves a training step; ``dtype`` is that of autocast, the weights are float32.

    memory_gib: What the step may take; None for what is free.
    finds_batch: Whether the largest batch is measured, which is then no part of the key.
    """

    checkpointing: Checkpointing = Checkpointing.NONE
    memory_gib: float | None = None
    finds_batch: bool = False

    @classmethod
    def of(cls, key: LatencyKey, **entries: Any) -> "TrainingStepKey":
        """Return the key of the training step behind a forward.

        entries: Fields that a forward does not have.
        """
        values = {field.name: getattr(key, field.name) for field in fields(LatencyKey)}
        return cls(**values | {"version": VERSION} | entries)

    def to_json(self) -> dict[str, Any]:
        """Return the entries of a record's key."""
        entries = super().to_json() | {
            "suite": SUITE,
            "mode": MODES[self.finds_batch],
            "gradient_checkpointing": str(self.checkpointing),
            "memory_limit_gib": self.memory_gib,
        }
        return {name: value for name, value in entries.items() if name != "batch" or not self.finds_batch}

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> "TrainingStepKey":
        """Return the key of a record's entries."""
        forward = LatencyKey.from_json({"batch": 1, **entries, "mode": latency.MODES[False]})
        return cls.of(
            forward,
            checkpointing=Checkpointing(entries["gradient_checkpointing"]),
            memory_gib=entries["memory_limit_gib"],
            finds_batch=entries["mode"] == MODES[True],
        )
