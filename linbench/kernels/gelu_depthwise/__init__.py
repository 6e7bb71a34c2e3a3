"""What stands between the two 1 × 1 convolutions of an MBConv, in one pass: GELU, depthwise 3 × 3, GELU."""

from linbench.kernels.gelu_depthwise.op import gelu_depthwise

__all__ = ["gelu_depthwise"]
