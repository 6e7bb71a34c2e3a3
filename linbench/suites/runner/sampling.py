"""Adaptive sampling of one forward under a time budget (docs/measurement.md, rules 2 to 4)."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from linbench.metrics.intervals import median_rank

WARM_WINDOW = 10  # forwards whose median must stand still
WARM_MOVE = 0.01
TIGHT = 0.01  # half width of the median's 95 % interval, as a fraction of the median
FEWEST = 3  # samples; one where a single forward takes longer than the budget, as the interval comes from rounds
SHORTEST_S = 0.25  # of sampling: the system counts what others use in ticks of 10 ms
LOOK = 100  # the interval is tested after each sample, and past this number after each further 1 % of them


@dataclass(frozen=True)
class SamplingConfig:
    """How cells are sampled.

    rounds: Fresh processes per cell.  cell_seconds: Sampling budget of one round.
    timeout_s: Longest life of one process, its start included.  seed: Of the order and of each round's weights.
    wait_s: Longest wait for other programs to stop computing, at the start and for each round; 0 for none.
    """

    rounds: int = 3
    cell_seconds: float = 20.0
    timeout_s: float = 900.0
    seed: int = 0
    wait_s: float = 60.0


@dataclass
class Samples:
    """Raw times of one forward in milliseconds, none dropped."""

    samples_ms: list[float] = field(default_factory=list)
    warmup: int = 0
    warm: bool = False  # the warm-up ended because the median stood still, not because its time was up
    converged: bool = False  # sampling ended because the interval closed, not because the budget was spent


def sample(forward_ms: Callable[[], float], seconds: float, first_s: float = 0.0) -> Samples:
    """Warm up, then time ``forward_ms`` until the median's interval is within ±1 % or ``seconds`` are spent.

    forward_ms: Runs one forward and returns its time in milliseconds.
    first_s: Seconds of a forward that ran before. One longer than the warm-up's budget has been the warm-up.
    At most a third of the budget goes into warming up. At least ``FEWEST`` samples are taken, or one where it alone
    takes longer than the budget; and for ``SHORTEST_S`` where the budget has that, so that a disturbance shows.
    """
    result = Samples()
    look = FEWEST
    start = time.perf_counter()
    if first_s <= seconds / 3:
        result.warmup, result.warm = _warm_up(forward_ms, start + seconds / 3)
    shortest = time.perf_counter() + SHORTEST_S
    while True:
        result.samples_ms.append(forward_ms())
        n = len(result.samples_ms)
        is_enough = n >= FEWEST or result.samples_ms[-1] >= 1e3 * seconds
        is_spent = is_enough and time.perf_counter() - start >= seconds
        if n >= look or is_spent:
            result.converged = is_tight(result.samples_ms)
            if is_spent or (result.converged and time.perf_counter() >= shortest):
                return result
            look = n + max(1, n // LOOK)


def _warm_up(forward_ms: Callable[[], float], until: float) -> tuple[int, bool]:
    """Return how many forwards warmed up, and whether their median stood still at the end."""
    times: list[float] = []
    before = 0.0
    while time.perf_counter() < until:
        times.append(forward_ms())
        if len(times) >= WARM_WINDOW:
            now = statistics.median(times[-WARM_WINDOW:])
            if abs(now - before) <= WARM_MOVE * before:
                return len(times), True
            before = now
    return len(times), False


def is_tight(samples: list[float]) -> bool:
    """Return whether the 95 % interval of the median, from order statistics, lies within ±1 % of it."""
    bounds = median_interval(samples)
    if bounds is None:
        return False
    median = statistics.median(samples)
    return max(bounds[1] - median, median - bounds[0]) <= TIGHT * median


def median_interval(samples: list[float]) -> tuple[float, float] | None:
    """Return the distribution-free 95 % interval of the median, or None where n is too small for one (n < 6)."""
    rank = median_rank(len(samples))
    if rank == 0:
        return None
    ordered = sorted(samples)
    return ordered[rank - 1], ordered[-rank]
