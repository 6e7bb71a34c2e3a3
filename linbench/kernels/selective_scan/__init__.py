"""The selective scan of Mamba: a linear recurrence whose steps depend on the input."""

from linbench.kernels.selective_scan.op import selective_scan

__all__ = ["selective_scan"]
