"""Mamba's causal depthwise convolution with its SiLU, in one pass and in either direction."""

from linbench.kernels.causal_conv_silu.op import causal_conv_silu

__all__ = ["causal_conv_silu"]
