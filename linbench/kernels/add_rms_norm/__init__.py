"""A residual stream's addition and the RMS norm of its sum, in one pass."""

from linbench.kernels.add_rms_norm.op import add_rms_norm

__all__ = ["add_rms_norm"]
