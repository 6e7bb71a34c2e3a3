"""The token mixers' kernels, each a torch operator with named implementations."""

from linbench.kernels.add_rms_norm import add_rms_norm
from linbench.kernels.bi_wkv import bi_wkv, gated_bi_wkv
from linbench.kernels.causal_conv_silu import causal_conv_silu
from linbench.kernels.cross_scan import cross_merge, cross_scan
from linbench.kernels.gated_linear_attention import gated_linear_attention
from linbench.kernels.gelu_depthwise import gelu_depthwise
from linbench.kernels.impl import Impl, Unsupported
from linbench.kernels.operators import verifier
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
    "gated_linear_attention",
    "gelu_depthwise",
    "norm_shift_mix",
    "q_shift",
    "selective_scan",
    "shift_mix",
    "verifier",
]
