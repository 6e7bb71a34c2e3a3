"""The estimate of a run's time: a range that holds what the run takes, and narrows with what is known."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from linbench.records import Record, Status, Store
from linbench.registry import load_plugin
from linbench.suites import suite
from linbench.suites.latency.cells import cells, work
from linbench.suites.latency.options import LatencyOptions
from linbench.suites.runner.estimate import (
    Calibration,
    Estimate,
    Span,
    calibrate,
    estimate,
    forward_seconds,
    sampling_seconds,
    search_seconds,
)
from linbench.suites.runner.resuming import required_searches
from linbench.suites.runner.rounds import RoundEnd, sweep
from linbench.suites.runner.sampling import SamplingConfig
from linbench.suites.runner.suite import Cell, Work

MACHINE = Calibration(start_s=2.0, flops_per_s=1e11)
SAMPLING = SamplingConfig(rounds=2, cell_seconds=1.0)


@pytest.fixture(autouse=True)
def _fixed(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Take a fixed machine, but where a test measures the real one."""
    if "real" not in request.node.name:
        monkeypatch.setattr("linbench.suites.runner.estimate.calibrate", lambda *_: MACHINE)


def planned(*backbones: str, **choices: Any) -> list[Cell]:
    base = {"resolutions": ((64, 64), (96, 96)), "presets": ("paper",), "device": "cpu", "threads": 1}
    return cells(LatencyOptions(backbones=backbones, **(base | choices)))


def estimated(made: list[Cell], store: Store, sampling: SamplingConfig = SAMPLING) -> Estimate | None:
    suites = {"latency": suite["latency"].build()}
    return estimate(suites, [("latency", cell) for cell in made], store, sampling, None)


@pytest.mark.slow
def test_the_estimate_holds_the_time_of_a_real_sweep(tmp_path: Path) -> None:
    """Within a third to three times the range: other programs may start or end meanwhile."""
    made = planned("vit-t", resolutions=((64, 64), (128, 128)))
    sampling = SamplingConfig(rounds=1, cell_seconds=0.5, wait_s=0)
    expected = estimated(made, Store(tmp_path), sampling)
    assert expected is not None
    begin = time.monotonic()
    ends = [event for event in sweep("latency", made, {}, sampling) if isinstance(event, RoundEnd)]
    assert [end.outcome.status for end in ends] == [Status.OK] * 2
    seconds = time.monotonic() - begin
    assert expected.seconds.low / 3 <= seconds <= 3 * expected.seconds.high
    assert expected.seconds.high < 20 * expected.seconds.low


def test_a_real_calibration_counts_the_start_of_a_process_with_torch() -> None:
    machine = calibrate(["latency"], "cpu", 1)
    assert machine.start_s > 0.3  # no machine imports torch faster
    assert 1e8 < machine.flops_per_s < 1e14


def test_starts_of_processes_and_searches_are_counted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    plain = estimated(planned("vit-t"), store)
    searched = estimated(planned("vit-t", presets=("paper", "best")), store)
    assert plain is not None and searched is not None
    assert plain.seconds.low >= 2 * 2 * 1.8  # two cells, two rounds, 2 s of start
    assert (searched.cells, searched.rounds, searched.searches) == (4, 8, 1)
    assert searched.seconds.low > 2 * plain.seconds.low
    assert str(searched).endswith(": 4 cells × 2 rounds, 1 search")


def test_what_is_stored_is_not_counted_and_gives_the_time_of_what_remains(tmp_path: Path) -> None:
    store, made = Store(tmp_path), planned("vit-t")
    done = {"samples_ms": [7000.0], "converged": False}
    for cell, rounds in zip(made, (2, 1), strict=True):
        store.put(Record(cell.key.to_json(), Status.OK, "", (done,) * rounds, {}, {}, cell.code_hash))
    expected = estimated(made, store)
    assert expected is not None and (expected.cells, expected.rounds) == (1, 1)
    assert expected.seconds.low > 2 * 7 * 0.8  # first forward and check, as long as the recorded ones
    assert estimated(made, store, replace(SAMPLING, rounds=1)) is None


def test_twice_the_flops_are_twice_the_time_and_a_record_counts_more() -> None:
    once, twice = (forward_seconds(Work(flops, 2), None, 1.0, MACHINE) for flops in (1e10, 2e10))
    assert (twice.low, twice.high) == pytest.approx((2 * once.low, 2 * once.high))
    record = Record({}, Status.OK, "", ({"samples_ms": [50.0, 60.0, 1e9]},), {}, {}, "")
    known = forward_seconds(Work(1e15, 2), record, 1.0, MACHINE)
    assert known.low < 0.06 < known.high < 0.1
    assert forward_seconds(None, None, 3.0, MACHINE) == Span(0.0, 1.0)


@pytest.mark.parametrize(
    ("forward", "low", "high"),
    [(0.001, 0.016, 1.001), (0.2, 1.0, 1.2), (0.6, 1.8, 2.4), (30.0, 30.0, 30.0)],
)
def test_sampling_takes_its_budget_or_one_slow_forward(forward: float, low: float, high: float) -> None:
    span = sampling_seconds(Span(forward, forward), 1.0)
    assert (span.low, span.high) == pytest.approx((low, high))


@pytest.mark.parametrize(("seconds", "low", "high"), [(0.0, 1.8, 6.0), (9.9, 4.0, 10.0), (1000.0, 9.0, 144.0)])
def test_a_search_takes_its_budget_or_all_candidates_or_the_first(seconds: float, low: float, high: float) -> None:
    load_plugin(Path(__file__).parents[2] / "plugins" / "toy.py")
    (search,) = required_searches(planned("toy", presets=("best",), search_seconds=seconds))
    span = search_seconds(search, work(search.base), None, SAMPLING, MACHINE)
    assert low <= span.low <= span.high <= high


def test_flops_are_counted_once_for_all_settings_and_never_refuse_a_plan() -> None:
    paper, best = (planned("vit-t", presets=(preset,))[0].key for preset in ("paper", "best"))
    assert work(paper) == work(best) and work(paper).flops > 1e8
    broken = replace(paper, model=replace(paper.model, options={"no_such": 1}))
    assert work(broken).flops in (0.0, work(paper).flops)
