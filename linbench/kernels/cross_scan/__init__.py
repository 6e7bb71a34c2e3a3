"""Cross-scan and cross-merge: a map as four sequences, and back."""

from linbench.kernels.cross_scan.op import cross_merge, cross_scan

__all__ = ["cross_merge", "cross_scan"]
