"""The suites. A new one is a package or a file here and one import line below."""

from linbench.suites import accuracy, kernels, latency
from linbench.suites.runner.suite import Cell, Choices, Outcome, Suite, suite

__all__ = ["Cell", "Choices", "Outcome", "Suite", "accuracy", "kernels", "latency", "suite"]
