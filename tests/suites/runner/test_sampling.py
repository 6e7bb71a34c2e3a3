"""Adaptive sampling: it stops when the median is known or the time is up, and drops nothing."""

import random
import statistics
from itertools import combinations

import pytest

from linbench.suites.runner import sampling
from linbench.suites.runner.sampling import FEWEST, SHORTEST_S, Samples, is_tight, median_interval, sample


class Clock:
    """A forward whose time is scripted, on a clock that only it moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times_ms) -> None:
        self.now = 0.0
        self.times = iter(times_ms)
        self.calls: list[float] = []
        monkeypatch.setattr(sampling.time, "perf_counter", lambda: self.now)

    def __call__(self) -> float:
        self.calls.append(next(self.times))
        self.now += self.calls[-1] / 1e3
        return self.calls[-1]


def forever(first, rest):
    yield from first
    while True:
        yield rest() if callable(rest) else rest


def test_a_steady_forward_converges_before_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, forever([], 10.0))
    result = sample(clock, seconds=60)
    assert result.converged
    assert result.warm
    assert clock.now < 1


def test_a_fast_forward_is_sampled_long_enough_to_see_what_disturbs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, forever([], 0.1))
    result = sample(clock, seconds=60)
    assert result.converged
    assert SHORTEST_S <= sum(result.samples_ms) / 1e3 < 2 * SHORTEST_S


def test_a_drifting_start_is_warmed_up_and_not_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, forever([100.0 * 0.9**i for i in range(40)], 1.0))
    assert max(sample(clock, seconds=60).samples_ms) < 2


def test_a_noisy_forward_spends_its_budget_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = random.Random(0)
    clock = Clock(monkeypatch, forever([], lambda: noise.choice([5.0, 20.0])))
    result = sample(clock, seconds=1)
    assert not result.converged
    assert 1 <= clock.now < 1.05


def test_every_sample_is_kept_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, forever([], iter(range(10**6)).__next__))
    result = sample(clock, seconds=3)
    assert clock.calls[result.warmup :] == result.samples_ms


def test_a_forward_slower_than_its_budget_gives_one_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, forever([], 30_000.0))
    assert sample(clock, seconds=1) == Samples([30_000.0], warmup=1, warm=False, converged=False)
    assert clock.now == 60


def test_a_forward_shorter_than_its_budget_gives_the_fewest_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, forever([], 900.0))
    assert len(sample(clock, seconds=1).samples_ms) == FEWEST


def test_a_slow_forward_that_ran_before_has_been_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, forever([], 30_000.0))
    assert sample(clock, seconds=3, first_s=30.0) == Samples([30_000.0], warmup=0, warm=False, converged=False)
    assert clock.now == 30
    quick = sample(Clock(monkeypatch, forever([], 10.0)), seconds=3, first_s=0.9)
    assert quick.warm and quick.warmup >= 10


def test_the_interval_of_the_median_covers_it_in_95_of_100_draws() -> None:
    draw = random.Random(1)
    for n in (6, 15, 80):
        inside = 0
        for _ in range(2000):
            low, high = median_interval([draw.expovariate(1.0) for _ in range(n)]) or (0, 0)
            inside += low <= 0.6931471805599453 <= high
        assert inside >= 0.94 * 2000


def test_few_samples_have_no_interval_and_are_never_tight() -> None:
    assert median_interval([1.0] * 5) is None
    assert not is_tight([1.0] * 5)
    assert is_tight([1.0] * 6)


def test_the_interval_is_the_exact_binomial_one() -> None:
    # By hand for n = 6: the median lies outside [min, max] with probability 2 / 2**6 = 3.1 %.
    assert median_interval([6.0, 1.0, 5.0, 2.0, 4.0, 3.0]) == (1.0, 6.0)
    # For n = 9 the second smallest and largest leave 2 (1 + 9) / 2**9 = 3.9 %.
    assert median_interval([float(i) for i in range(9)]) == (1.0, 7.0)
    assert sum(1 for k in (0, 1) for _ in combinations(range(9), k)) == 10


def test_a_tight_interval_lies_within_one_percent_of_the_median() -> None:
    samples = [100.0, 100.5, 99.5, 101.2, 98.8, 100.0]
    assert statistics.median(samples) == 100
    assert not is_tight(samples)
    assert is_tight([100 + (x - 100) / 2 for x in samples])
