"""The suites. A new one is one file here and one import line below."""

from linbench.suites import kernels, latency
from linbench.suites.contract import Cell, Choices, Outcome, Suite, suite

__all__ = ["Cell", "Choices", "Outcome", "Suite", "kernels", "latency", "suite"]
