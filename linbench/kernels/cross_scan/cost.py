"""Bytes that cross-scan and cross-merge have to move."""

from torch import Tensor

from linbench.kernels.cost import byte_formula, held


@byte_formula("linbench::cross_scan")
def scanned(x: Tensor) -> int:
    """The map in, four sequences out."""
    return 5 * held(x)


@byte_formula("linbench::cross_merge")
def merged(ys: Tensor) -> int:
    """Four sequences in, one map out."""
    return held(ys) + held(ys) // 4
