"""What models are ranked by for speed: the latency of a forward, or images/s at the best batch.

Both are estimated from times: a sample of a throughput is a window's milliseconds per image, so that intervals, tests
and doubts are those of latencies, and only the numbers that are shown differ.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from linbench.reports.decide.comparable_cells import ComparableCell


@dataclass(frozen=True)
class Speed:
    """A metric of speed.

    metric: Its name on the command line.  suite: Whose records have it.  noun: The plural.
    convert: From milliseconds, of a forward or per image, to ``unit``.  is_rate: Whether larger is better.
    """

    metric: str
    suite: str
    noun: str
    unit: str
    convert: Callable[[float], float]
    is_rate: bool = False

    def value(self, cell: ComparableCell) -> float:
        """Return the estimate of a timed cell, in ``unit``; NaN where it has none."""
        return self.convert(cell.estimate)

    def bounds(self, cell: ComparableCell) -> tuple[float, float]:
        """Return the 95 % interval of a timed cell, in ``unit``; NaN where it is unknown."""
        low, high = (self.convert(bound) for bound in cell.bounds)
        return (high, low) if self.is_rate else (low, high)


LATENCY = Speed("latency_ms", "latency", "latencies", "ms", lambda ms: ms)
THROUGHPUT = Speed("images_per_s", "throughput", "throughputs", "images/s", lambda ms: 1e3 / ms, is_rate=True)
SPEEDS: Mapping[str, Speed] = {speed.metric: speed for speed in (LATENCY, THROUGHPUT)}
