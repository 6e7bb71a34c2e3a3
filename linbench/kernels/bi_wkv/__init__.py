"""bi-WKV: each token's mean of all values, weighted by key and distance."""

from linbench.kernels.bi_wkv.op import bi_wkv

__all__ = ["bi_wkv"]
