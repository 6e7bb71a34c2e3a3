"""The suites. A new one is one file here and one import line below."""

from linbench.suites import ade20k, coco, imagenet, kernels, latency, single_object
from linbench.suites.contract import Cell, Choices, Outcome, Suite, suite

__all__ = [
    "Cell",
    "Choices",
    "Outcome",
    "Suite",
    "ade20k",
    "coco",
    "imagenet",
    "kernels",
    "latency",
    "single_object",
    "suite",
]
