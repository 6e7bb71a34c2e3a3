"""The check of each registered operator against its reference, by name: imported where it is asked for."""

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Any

#: Where each registered operator is checked against its reference.
_VERIFIED = {
    "linbench::add_rms_norm": "linbench.kernels.add_rms_norm.verify",
    "linbench::bi_wkv": "linbench.kernels.bi_wkv.verify",
    "linbench::causal_conv_silu": "linbench.kernels.causal_conv_silu.verify",
    "linbench::cross_merge": "linbench.kernels.cross_scan.verify",
    "linbench::cross_scan": "linbench.kernels.cross_scan.verify",
    "linbench::gated_bi_wkv": "linbench.kernels.bi_wkv.verify",
    "linbench::gelu_depthwise": "linbench.kernels.gelu_depthwise.verify",
    "linbench::q_shift": "linbench.kernels.q_shift.verify",
    "linbench::selective_scan": "linbench.kernels.selective_scan.verify",
    "linbench::shift_mix": "linbench.kernels.shift_mix.verify",
}


@cache
def verifier(operator: str) -> Callable[[Sequence[Any], Any], float] | None:
    """``(arguments, output) -> error`` for a registered op: the largest on a sample, as a share of max|y|.

    None for an operator that is not ours.
    """
    module = _VERIFIED.get(operator)
    return import_module(module).verify if module else None
