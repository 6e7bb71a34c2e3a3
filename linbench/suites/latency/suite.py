"""The suite ``latency``, without torch until a cell is planned."""

from linbench.suites.latency.key import VERSION, LatencyKey
from linbench.suites.latency.options import LatencyOptions
from linbench.suites.runner.suite import Suite, deferred, suite

NAMED_BY = ("backbone", "part", "fusion", "size", "batch", "dtype", "preset", "engine")
EXAMPLES = (
    "--suite latency --res 512..2048",
    "--backbone rwkv-sam-s,vit-s --res 256..1536:128 --rounds 5",
    "--part encoder,decoder,end-to-end --backbone rwkv-sam-s,sam-vit-b --fusion conv,dcn --prompts 8",
)


@suite("latency", version=VERSION)
def latency() -> Suite[LatencyOptions, LatencyKey]:
    """Latency of a backbone, or of a segmenter's encoder, decoder or both, against resolution."""
    return Suite(
        options=LatencyOptions,
        key=LatencyKey,
        cells=deferred("linbench.suites.latency.cells", "cells"),
        measure=deferred("linbench.suites.latency.measure", "measure"),
        trial=deferred("linbench.suites.latency.trial", "trial"),
        export=deferred("linbench.suites.latency.artifact", "export"),
        work=deferred("linbench.suites.latency.cells", "work"),
        named_by=NAMED_BY,
        examples=EXAMPLES,
    )
