"""The suite ``kernels``, without torch until a cell is planned."""

from linbench.suites.kernels.key import VERSION, KernelKey
from linbench.suites.kernels.options import KernelOptions
from linbench.suites.runner.suite import Suite, deferred, suite


@suite("kernels", version=VERSION)
def kernels() -> Suite[KernelOptions, KernelKey]:
    """Each op, forward and backward, beside a copy, a linear layer, attention and the roofline."""
    return Suite(
        options=KernelOptions,
        key=KernelKey,
        cells=deferred("linbench.suites.kernels.cells", "cells"),
        measure=deferred("linbench.suites.kernels.measure", "measure"),
        work=deferred("linbench.suites.kernels.cells", "expected_work"),
        named_by=("op", "case", "direction", "impl", "dtype"),
        examples=("--suite kernels", "--suite kernels --op bi_wkv,selective_scan --case '*1024'"),
    )
