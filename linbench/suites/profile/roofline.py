"""The two rates of this machine that a roofline is made of, measured in the process that is profiled."""

from statistics import median

import torch

from linbench.suites.kernels.baselines import Baseline, baselines
from linbench.suites.kernels.key import TimedCase
from linbench.suites.profile.result import Rates
from linbench.suites.runner.process import timer

TIMES = 3  # a turn


class Roofline:
    """Times a large matrix product and a large copy, in turn with forwards: what disturbs these disturbs both."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        smallest = TimedCase("", "", batch=1, tokens=1, width=1)  # of an op's own baselines, which are not made here
        beside = baselines(smallest, 0, dtype, device, "forward")
        self.matmul, self.copy = beside["matmul"], beside["stream"]
        self.device = device
        for baseline in (self.matmul, self.copy):
            baseline.call()

    def take_turn(self) -> None:
        """Add samples of both."""
        for baseline in (self.matmul, self.copy):
            clock = timer(baseline.call, self.device)
            baseline.times += [(0, clock()) for _ in range(TIMES)]

    def rates(self) -> Rates:
        """Return the rates of the median times."""
        return Rates(self.matmul.flops / _seconds(self.matmul), self.copy.bytes / _seconds(self.copy))


def _seconds(baseline: Baseline) -> float:
    return median(ms for _, ms in baseline.times) / 1e3
