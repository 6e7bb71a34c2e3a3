"""The suite ``throughput``, without torch until a cell is planned."""

from linbench.suites.runner.suite import Suite, deferred, suite
from linbench.suites.throughput.key import VERSION, ThroughputKey
from linbench.suites.throughput.options import ThroughputOptions

EXAMPLES = ("--suite throughput --backbone vit-t,rwkv-sam-t --res 256..1024 --preset best",)


@suite("throughput", version=VERSION)
def throughput() -> Suite[ThroughputOptions, ThroughputKey]:
    """Images per second of a backbone or encoder at its best batch, against resolution."""
    return Suite(
        options=ThroughputOptions,
        key=ThroughputKey,
        cells=deferred("linbench.suites.throughput.cells", "cells"),
        measure=deferred("linbench.suites.throughput.measure", "measure"),
        trial=deferred("linbench.suites.latency.trial", "trial"),
        work=deferred("linbench.suites.throughput.cells", "work"),
        named_by=("backbone", "part", "size", "dtype", "preset", "engine"),
        examples=EXAMPLES,
    )
