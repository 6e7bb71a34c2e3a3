"""The token mixers' kernels, each a torch operator with named implementations."""

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from linbench.kernels.add_rms_norm import add_rms_norm
from linbench.kernels.bi_wkv import bi_wkv, gated_bi_wkv
from linbench.kernels.causal_conv_silu import causal_conv_silu
from linbench.kernels.cross_scan import cross_merge, cross_scan
from linbench.kernels.gelu_depthwise import gelu_depthwise
from linbench.kernels.impl import Impl, Unsupported
from linbench.kernels.q_shift import q_shift
from linbench.kernels.selective_scan import selective_scan
from linbench.kernels.shift_mix import norm_shift_mix, shift_mix

__all__ = [
    "Impl",
    "Unsupported",
    "add_rms_norm",
    "bi_wkv",
    "causal_conv_silu",
    "cross_merge",
    "cross_scan",
    "gated_bi_wkv",
    "gelu_depthwise",
    "norm_shift_mix",
    "q_shift",
    "selective_scan",
    "shift_mix",
    "verifier",
]

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
