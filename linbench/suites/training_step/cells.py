"""The cells of the suite ``training-step``: those of ``latency`` for the encoder, and how each step is taken."""

import json
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

from linbench.kernels.impl import Unsupported
from linbench.models.sam import HQ
from linbench.provenance import code_hash
from linbench.suites.latency.cells import cells as latency_cells
from linbench.suites.runner import rounds
from linbench.suites.runner.device import Dtype
from linbench.suites.runner.suite import Cell, Work
from linbench.suites.training_step.key import TrainingStepKey
from linbench.suites.training_step.options import Checkpointing, TrainingStepOptions
from linbench.suites.training_step.step import step_complexity

#: Modules that measure; a change in what they import makes records stale (``provenance``).
ENTRIES = ("linbench.suites.training_step.measure", "linbench.suites.latency.settings", *rounds.ENTRIES)
CALLS = 4  # forwards and backwards before the samples, in steps: first step, check of kernels, check of gradients


def cells(options: TrainingStepOptions) -> list[Cell[TrainingStepKey]]:
    """Plan every backbone × size × batch × dtype × checkpointing; raises UnknownName and ValueError that teach."""
    if segmenters := [name for name in options.backbones if name in HQ]:
        raise ValueError(f"{segmenters[0]} is a segmenter on {HQ[segmenters[0]]}: name that backbone")
    planned = product(latency_cells(options.forwards()), dict.fromkeys(options.checkpointing))
    return [_step(cell, checkpointing, options) for cell, checkpointing in planned]


def _step(cell: Cell[Any], checkpointing: Checkpointing, options: TrainingStepOptions) -> Cell[TrainingStepKey]:
    modules = {**cell.modules, "suite": ENTRIES}
    key = TrainingStepKey.of(
        cell.key,
        checkpointing=checkpointing,
        memory_gib=options.memory_limit,
        finds_batch=options.largest_batch,
    )
    hashed = code_hash(ENTRIES, modules["backbone"], modules["without"])
    return replace(cell, key=key, code_hash=hashed, modules=modules)


def work(key: TrainingStepKey) -> Work:
    """Return the work of a round with a given batch; that of a search for the largest one is unknown, and 0 here."""
    if key.finds_batch:
        return Work(0.0, 0)
    counted = replace(key, dtype=Dtype.FLOAT32)
    return Work(_flops(json.dumps(counted.to_json())), CALLS)


@cache
def _flops(key: str) -> float:
    """Return the FLOPs of the step of a key in JSON; 0 where it cannot be built, as its outcome will say."""
    try:
        return float(step_complexity(TrainingStepKey.from_json(json.loads(key)))["flops"]["value"])
    except (ValueError, ImportError, NotImplementedError, Unsupported):
        return 0.0
