"""bi-WKV: each token's mean of all values, weighted by key and distance; and the same behind a gate."""

from linbench.kernels.bi_wkv.gated import gated_bi_wkv
from linbench.kernels.bi_wkv.op import bi_wkv

__all__ = ["bi_wkv", "gated_bi_wkv"]
