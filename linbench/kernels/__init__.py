"""The token mixers' kernels, each a torch operator with named implementations."""

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from linbench.kernels.bi_wkv import bi_wkv
from linbench.kernels.cross_scan import cross_merge, cross_scan
from linbench.kernels.impl import Impl, Unsupported
from linbench.kernels.q_shift import q_shift
from linbench.kernels.selective_scan import selective_scan

__all__ = [
    "Impl",
    "Unsupported",
    "bi_wkv",
    "cross_merge",
    "cross_scan",
    "q_shift",
    "selective_scan",
    "verifier",
]

#: Where each registered operator is checked against its reference.
_VERIFIED = {
    "linbench::bi_wkv": "linbench.kernels.bi_wkv.verify",
    "linbench::cross_merge": "linbench.kernels.cross_scan.verify",
    "linbench::cross_scan": "linbench.kernels.cross_scan.verify",
    "linbench::q_shift": "linbench.kernels.q_shift.verify",
    "linbench::selective_scan": "linbench.kernels.selective_scan.verify",
}


@cache
def verifier(operator: str) -> Callable[[Sequence[Any], Any], float] | None:
    """``(arguments, output) -> error`` for a registered op: the largest on a sample, as a share of max|y|.

    None for an operator that is not ours.
    """
    module = _VERIFIED.get(operator)
    return import_module(module).verify if module else None
