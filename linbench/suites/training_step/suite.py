"""The suite ``training-step``, without torch until a cell is planned."""

from linbench.suites.runner.suite import Suite, deferred, suite
from linbench.suites.training_step.key import VERSION, TrainingStepKey
from linbench.suites.training_step.options import TrainingStepOptions

EXAMPLES = (
    "--suite training-step --res 256,512 --batch 1,4",
    "--suite training-step --dtype bfloat16 --attention sdpa",
    "--suite training-step --largest-batch --memory-limit 24",
)


@suite("training-step", version=VERSION)
def training_step() -> Suite[TrainingStepOptions, TrainingStepKey]:
    """Forward, backward and optimiser step of backbone and neck: time, memory, FLOPs, the largest batch."""
    return Suite(
        options=TrainingStepOptions,
        key=TrainingStepKey,
        cells=deferred("linbench.suites.training_step.cells", "cells"),
        measure=deferred("linbench.suites.training_step.measure", "measure"),
        trial=deferred("linbench.suites.training_step.measure", "trial"),
        work=deferred("linbench.suites.training_step.cells", "work"),
        named_by=("backbone", "size", "batch", "dtype", "gradient_checkpointing", "preset"),
        examples=EXAMPLES,
    )
