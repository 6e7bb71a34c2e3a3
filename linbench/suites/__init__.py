"""The suites. A new one is a package or a file here and one import line below."""

from linbench.suites import accuracy, kernels, latency, throughput, training_step
from linbench.suites.runner.suite import Cell, Outcome, Suite, suite

__all__ = ["Cell", "Outcome", "Suite", "accuracy", "kernels", "latency", "suite", "throughput", "training_step"]
