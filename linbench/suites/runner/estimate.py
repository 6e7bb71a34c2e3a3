"""How long the rounds and searches of a run will take, before they run: a range.

A forward takes what the cell's record says; without a record, its FLOPs over the rate of a matrix product, measured
here, gives the bounds. The start of a process is measured too, once for a run: ``python -m
linbench.suites.runner.estimate`` is a process that imports what a round imports and times the product.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from linbench.records import Record, Store
from linbench.suites.runner.options import Redo
from linbench.suites.runner.resuming import remaining_rounds, required_searches, search_record
from linbench.suites.runner.sampling import FEWEST, SamplingConfig
from linbench.suites.runner.suite import Cell, Search, Suite, Work
from linbench.system.affinity import unbound
from linbench.system.durations import format_range

#: A forward against its FLOPs over the product's rate: 1.1 to 2.5 for the five backbones' best settings on a CPU.
FORWARD = (0.8, 5.0)
AGAIN = (0.8, 1.4)  # a forward against its recorded median
START = (0.9, 1.6)  # a round's start, with its model built, against the measured one
QUICK = 16  # forwards of a cell that converges at once: ten of warm-up, six samples
CANDIDATE_SECONDS = 2.0  # sampling of one candidate of a search
SIDES = {"cpu": 1024, "cuda": 8192}  # of the product's matrices
PRODUCTS = 5


@dataclass(frozen=True)
class Span:
    """A range of seconds."""

    low: float
    high: float

    def __add__(self, other: "Span") -> "Span":
        return Span(self.low + other.low, self.high + other.high)

    def __mul__(self, factor: float) -> "Span":
        return Span(self.low * factor, self.high * factor)

    def up_to(self, most: float) -> "Span":
        """Return the range with both ends at most ``most``."""
        return Span(min(self.low, most), min(self.high, most))


#: Seconds of a candidate of another engine: its package is missing, or it compiles a large model.
ENGINE = Span(2.0, 120.0)


@dataclass(frozen=True)
class Calibration:
    """The machine as it is now.

    start_s: Seconds from the start of a process until it can build a model.  flops_per_s: Of a matrix product.
    """

    start_s: float
    flops_per_s: float


@dataclass(frozen=True)
class Estimate:
    """The time that the rounds and searches of a run will take.

    rounds: That remain, of all ``cells`` together.
    """

    seconds: Span
    cells: int
    rounds: int
    searches: int

    def __str__(self) -> str:
        """Return the estimate for a person: about 4 to 7 min: 15 cells × 3 rounds, 5 searches."""
        whole, rest = divmod(self.rounds, max(self.cells, 1))
        work = [f"{_count(self.cells, 'cell')} × {_count(whole, 'round')}"]
        if rest:
            work = [_count(self.cells, "cell"), _count(self.rounds, "round")]
        if self.searches:
            work.append(_count(self.searches, "search", "searches"))
        return f"{format_range(self.seconds.low, self.seconds.high)}: {', '.join(work)}"


def _count(number: int, singular: str, plural: str = "") -> str:
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def estimate(
    suites: Mapping[str, Suite[Any, Any]],
    planned: Sequence[tuple[str, Cell[Any]]],
    store: Store,
    sampling: SamplingConfig,
    redo: Redo | None,
    fewest: int = 1,
) -> Estimate | None:
    """Return how long what remains will take; None where nothing is left that runs in rounds.

    planned: The cells with the names of their suites; suites that evaluate are left out.
    fewest: Rounds that must remain, where no search does: an estimate takes as long as a round or two.
    """
    waiting: list[tuple[Suite[Any, Any], Cell[Any], int, Record | None]] = []
    for name, cell in planned:
        if suites[name].evaluate is not None:
            continue
        record = store.get(cell.key.to_json())
        counted = None if cell.required_search else record
        if rounds := remaining_rounds(cell, counted, sampling.rounds, redo).rounds:
            waiting.append((suites[name], cell, rounds, record))
    searches = [
        (suite, search)
        for suite in dict.fromkeys(suite for suite, *_ in waiting)
        for search in required_searches(cell for owner, cell, *_ in waiting if owner is suite)
        if search_record(search, store, redo) is None
    ]
    if not waiting or (sum(rounds for *_, rounds, _ in waiting) < fewest and not searches):
        return None
    names = [name for name, suite in suites.items() if suite.evaluate is None]
    first = waiting[0][1].key.to_json()
    machine = calibrate(names, first.get("device_type", "cpu"), first.get("threads", 1))
    spans = [
        round_seconds(_work(suite, cell.key), record, sampling, machine) * rounds
        for suite, cell, rounds, record in waiting
    ]
    spans += [
        search_seconds(search, _work(suite, search.base), store.get(search.base.to_json()), sampling, machine)
        for suite, search in searches
    ]
    total = sum(spans, Span(0.0, 0.0))
    return Estimate(total, len(waiting), sum(rounds for *_, rounds, _ in waiting), len(searches))


def _work(suite: Suite[Any, Any], key: Any) -> Work | None:
    return suite.work(key) if suite.work else None


def round_seconds(work: Work | None, record: Record | None, sampling: SamplingConfig, machine: Calibration) -> Span:
    """Return how long one round of a cell takes, the start of its process included."""
    forward = forward_seconds(work, record, sampling.cell_seconds, machine)
    work = work or Work(0.0, 0)
    budget = sampling.cell_seconds
    sample = Span(max(work.window_s, forward.low), max(work.window_s, forward.high))
    parts = [
        _start(machine),
        forward * work.calls,
        batch_seconds(sample, work, budget),
        sampling_seconds(sample, (1 - work.search) * budget),
        Span(work.seconds, work.seconds),
    ]
    return sum(parts, Span(0.0, 0.0)).up_to(sampling.timeout_s)


def batch_seconds(sample: Span, work: Work, budget: float) -> Span:
    """Return how long the search for a batch takes: one batch at least, then what its part of the budget holds.

    sample: A window of forwards.
    """
    first = sample * work.windows
    allowed = work.search * budget
    return Span(first.low, max(first.high, allowed))


def forward_seconds(work: Work | None, record: Record | None, budget: float, machine: Calibration) -> Span:
    """Return how long one forward takes: by its record, its FLOPs, or from nothing to a third of the budget."""
    medians = [median(taken["samples_ms"]) / 1e3 for taken in record.rounds] if record else []
    if medians:
        return Span(AGAIN[0] * min(medians), AGAIN[1] * max(medians))
    if work is None:
        return Span(0.0, budget / 3)
    ideal = work.flops / machine.flops_per_s
    return Span(FORWARD[0] * ideal, FORWARD[1] * ideal)


def sampling_seconds(forward: Span, budget: float) -> Span:
    """Return how long warm-up and samples of a forward take under a budget."""
    fewest = FEWEST if forward.high < budget else 1
    least = max(fewest * forward.low, min(budget, QUICK * forward.low))
    most = forward.high if forward.low >= budget else max(budget, FEWEST * min(forward.high, budget)) + forward.high
    return Span(least, most)


def search_seconds(
    search: Search, work: Work | None, record: Record | None, sampling: SamplingConfig, machine: Calibration
) -> Span:
    """Return how long a search takes: its first candidate at least, and at most its budget where that is longer.

    Candidates of other engines compile or export first, outside the budget.
    """
    forward = forward_seconds(work, record, CANDIDATE_SECONDS, machine)
    candidate = _start(machine) + forward * 3 + sampling_seconds(forward, CANDIDATE_SECONDS)
    all_of_them = candidate * search.candidates
    low = max(candidate.low, min(all_of_them.low, search.seconds - candidate.high))
    high = max(candidate.high, min(all_of_them.high, search.seconds))
    return Span(low, high).up_to(max(sampling.timeout_s, search.seconds)) + ENGINE * search.engine_candidates


def _start(machine: Calibration) -> Span:
    return Span(START[0] * machine.start_s, START[1] * machine.start_s)


def calibrate(suites: Iterable[str], device_type: str, threads: int) -> Calibration:
    """Measure the start of a process that imports what the suites' rounds do, and the rate of a matrix product."""
    command = [sys.executable, "-m", "linbench.suites.runner.estimate", device_type, str(threads), *suites]
    begin = time.perf_counter()
    with unbound():
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    seconds = time.perf_counter() - begin
    answer = json.loads(done.stdout.splitlines()[-1])
    return Calibration(seconds - answer["seconds"], answer["flops_per_s"])


def main(device_type: str, threads: str, *suites: str) -> None:
    """Import what the rounds of the suites import, and write the rate of a product and the seconds that it took."""
    import torch

    from linbench.suites import suite as registry

    for name in suites:
        if name in registry:  # a plug-in's is not loaded here
            registry[name].build()
    begin = time.perf_counter()
    torch.set_num_threads(int(threads))
    side = SIDES[device_type]
    x = torch.ones(side, side, device=device_type)
    times = []
    for _ in range(PRODUCTS):
        start = time.perf_counter()
        (x @ x)[0, 0].item()
        times.append(time.perf_counter() - start)
    json.dump({"flops_per_s": 2 * side**3 / min(times), "seconds": time.perf_counter() - begin}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
