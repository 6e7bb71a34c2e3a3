"""The search for the best batch: doubled from 1 until it gains too little, or memory or time ends."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

LEAST_GAIN = 0.03  # of images/s, by a batch twice as large
WINDOWS = 3  # for each batch that is tried
WINDOW_S = 0.2  # the shortest window: waiting once in it costs nothing
SEARCHING = 0.5  # of the budget of a round, for finding the batch; the rest samples it


@dataclass(frozen=True)
class Trial:
    """One batch that was tried.

    images_per_s: Of each window; none where the memory did not suffice.  peak_memory: As ``memory.peak`` gives it.
    bytes_above: The peak above the process before; 0 where it is unknown.
    """

    batch: int
    images_per_s: tuple[float, ...] = ()
    peak_memory: Mapping[str, Any] = field(default_factory=dict)
    bytes_above: int = 0

    @property
    def rate(self) -> float:
        """The median of the windows; 0 where there is none."""
        return median(self.images_per_s) if self.images_per_s else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the entry of a record."""
        return asdict(self) | {"images_per_s": list(self.images_per_s), "status": "ok" if self.rate else "oom"}


@dataclass(frozen=True)
class Doubling:
    """The batches that were tried, and why no larger one was."""

    trials: tuple[Trial, ...]
    stopped: str

    @property
    def best(self) -> Trial:
        """The fastest batch; of two that are within LEAST_GAIN the smaller one, which takes less memory."""
        best = self.trials[0]
        for trial in self.trials[1:]:
            if trial.rate >= (1 + LEAST_GAIN) * best.rate:
                best = trial
        return best


def double(
    run: Callable[[int], Trial],
    free: Callable[[], int | None],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Doubling:
    """Try batches of 1, 2, 4 and so on.

    run: Tries a batch.  free: Tells the free bytes of the device, None where that is unknown.
    seconds: For all batches together; one that would take longer than what is left is not tried.
    clock: Returns the seconds that count.
    """
    begin = start = clock()
    trials = [run(1)]
    while True:
        now, last = clock(), trials[-1]
        before = trials[-2].rate if len(trials) > 1 else 0.0
        if stopped := _reason(last, before, free(), seconds - (now - start), 2 * (now - begin)):
            return Doubling(tuple(trials), stopped)
        begin = now
        trials.append(run(2 * last.batch))


def _reason(trial: Trial, before: float, free: int | None, left: float, needed: float) -> str:
    """Return why a batch twice as large is not tried; empty where it is."""
    if not trial.images_per_s:
        return f"a batch of {trial.batch} does not fit into memory"
    if trial.rate < (1 + LEAST_GAIN) * before:
        return f"a batch of {trial.batch} gains less than {100 * LEAST_GAIN:.0f} %"
    if free is not None and 2 * trial.bytes_above > free:
        return f"a batch of {2 * trial.batch} might not fit into the free memory"
    return f"no time was left for a batch of {2 * trial.batch}" if needed > left else ""
