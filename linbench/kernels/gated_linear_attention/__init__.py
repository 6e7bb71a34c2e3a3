"""Gated linear attention: a matrix state that decays per key channel, read by queries, in either direction."""

from linbench.kernels.gated_linear_attention.op import gated_linear_attention

__all__ = ["gated_linear_attention"]
