"""The largest batch whose step fits into memory: doubled until one does not, then bisected; each try in a process.

A try may die: its process is ended by the system, or refused memory. All of one search have the same limit: the one
that the key names, else what is free of the machine's memory when the search begins; on a GPU what torch's allocator
gets. At that batch the step is measured as at any other.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from linbench.backbones import backbone
from linbench.environment import environment
from linbench.records import Status
from linbench.suites.runner import rounds
from linbench.suites.runner.memory import available_bytes
from linbench.suites.runner.sampling import SamplingConfig
from linbench.suites.runner.suite import Cell, Outcome
from linbench.suites.training_step.key import SUITE, TrainingStepKey
from linbench.suites.training_step.memory_limit import GIB

MOST = 2**16  # images; a step this large is limited by something other than memory


@dataclass(frozen=True)
class Try:
    """A batch that was tried."""

    batch: int
    outcome: Outcome

    @property
    def fits(self) -> bool:
        """Whether its steps ran within the limit; raises SearchFailed where they failed for another reason."""
        if self.outcome.status not in (Status.OK, Status.OOM):
            raise SearchFailed(self)
        return self.outcome.status is Status.OK

    def to_json(self) -> dict[str, Any]:
        """Return the entry of a record."""
        status, reason = str(self.outcome.status), self.outcome.reason
        return {"batch": self.batch, "status": status, "reason": reason, **self.outcome.round}


class SearchFailed(RuntimeError):
    """A try that failed for another reason than memory, which ends the search."""

    def __init__(self, failed: Try) -> None:
        super().__init__(f"at batch {failed.batch}: {failed.outcome.reason}")
        self.outcome = failed.outcome


def find_largest(fits: Callable[[int], bool], most: int = MOST) -> int:
    """Return the largest batch up to ``most`` that fits, 0 where none does: doubling from 1, then bisection.

    fits: Whether a batch does; one that is larger than another that does not is taken not to fit either.
    """
    low, high = 0, 1
    while high <= most and fits(high):
        low, high = high, 2 * high
    high = min(high, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


def measure_largest(key: TrainingStepKey, seconds: float, seed: int) -> Outcome:
    """Find the largest batch of a cell, and measure a step of it."""
    limited = replace(key, memory_gib=key.memory_gib or _free_gib(key), finds_batch=False)
    tries: list[Try] = []

    def fits(batch: int) -> bool:
        tries.append(Try(batch, _in_process(limited, batch, seconds, seed, "trial")))
        return tries[-1].fits

    try:
        batch = find_largest(fits)
    except SearchFailed as failed:
        return replace(failed.outcome, reason=str(failed))
    if batch == 0:
        return replace(tries[0].outcome, round={}, environment=environment())
    outcome = _in_process(limited, batch, seconds, seed, "measure")
    if outcome.status is not Status.OK:
        return replace(outcome, reason=f"at batch {batch}: {outcome.reason}")
    search = {"batch": batch, "tries": [entry.to_json() for entry in tries], "limit_gib": limited.memory_gib}
    return replace(outcome, round={**outcome.round, **search})


def _free_gib(key: TrainingStepKey) -> float | None:
    """Return the free memory of this machine; None for a GPU, whose allocator refuses what it has not.

    A GPU is not even looked at: a process that does so holds a context there, and the tries would be contended.
    """
    if key.machine.device_type == "cuda":
        return None
    free = available_bytes(torch.device("cpu"))
    return None if free is None else free / GIB


def _in_process(key: TrainingStepKey, batch: int, seconds: float, seed: int, call: str) -> Outcome:
    """Return the outcome of a batch in a process of its own."""
    cell = Cell(replace(key, batch=batch), "", {}, key.settings.variables)
    return rounds.run(SUITE, cell, SamplingConfig(cell_seconds=seconds), seed, _plugins(key), call=call)


def _plugins(key: TrainingStepKey) -> list[Path]:
    """Return the file that registered the backbone, where that is a plug-in of this run."""
    source = backbone[key.model.backbone].source
    path = getattr(sys.modules.get(source), "__file__", None)
    return [Path(path)] if path and source.startswith("linbench_plugin_") else []
