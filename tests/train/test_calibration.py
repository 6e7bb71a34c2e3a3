"""Calibration: times at small sizes, extrapolated, hold the time at the full one."""

import pytest

from linbench.train import calibration
from linbench.train.calibration import Seconds, calibrate, sizes

MODELS = {
    "a constant and a linear part": lambda n: 0.3 + 1e-6 * n,
    "linear": lambda n: 1e-6 * n,
    "attention": lambda n: 1e-6 * n + 2e-12 * n**2,
}


@pytest.mark.parametrize("side", [8, 64, 224, 512, 1024])
def test_sizes_grow_to_the_requested_one_and_are_few(side):
    ladder = sizes(side, 40)
    assert ladder[-1] == (side, 40)
    assert [s for s, _ in ladder] == sorted({s for s, _ in ladder})
    assert all(s % 32 == 0 and images == 2 for s, images in ladder[:-1])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("budget", [1.0, 8.0, 1e9])
def test_the_range_holds_the_time_at_the_full_size(name, budget, monkeypatch):
    clock = 0.0

    def measure(side, images):
        nonlocal clock
        seconds = MODELS[name](side**2) * images
        clock += 3 * seconds
        return Seconds.of([seconds])

    monkeypatch.setattr(calibration, "BUDGET_S", budget)
    monkeypatch.setattr(calibration.time, "perf_counter", lambda: clock)
    seconds = calibrate(measure, 1024, 2).seconds
    truth = 2 * MODELS[name](1024**2)
    assert seconds.low <= truth <= seconds.high
    assert clock <= budget + 3 * 2 * (MODELS[name](128**2) + MODELS[name](256**2))  # measured in any case


def test_a_step_within_the_budget_is_measured_and_not_extrapolated():
    calls = []
    timing = calibrate(lambda side, images: calls.append((side, images)) or Seconds(1e-3, 2e-3), 512, 16)
    assert calls[-1] == (512, 16)
    assert timing.seconds == Seconds(1e-3, 2e-3)
