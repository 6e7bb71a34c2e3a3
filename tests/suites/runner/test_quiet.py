"""Waiting for quiet and repeating rounds: what is repeated, how often, and which attempt counts."""

import time
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import pytest

from linbench.records import Record, Status
from linbench.suites import Cell, Outcome
from linbench.suites.runner import gpu, rounds
from linbench.suites.runner.quiet import MOST_FRUITLESS, Patience, Repeat, Waiting, attempt_quietly, is_disturbed
from linbench.suites.runner.rounds import GaveUp, RoundEnd, RoundStart, sweep
from linbench.suites.runner.sampling import SamplingConfig

QUIET = 0.01


def entries(share: float | None, ms: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"samples_ms": [ms], "others_share": share, "seed": 0} | more


def ok(share: float | None, ms: float = 1.0, **more: Any) -> Outcome:
    return Outcome(Status.OK, round=entries(share, ms, **more))


def patience(*shares: float | None, wait_s: float = 60.0) -> Patience:
    """Patience on a machine that is as busy as ``shares`` say, second by second, and quiet afterwards."""
    seconds = chain(shares, repeat(QUIET))
    return Patience(wait_s, lambda: next(seconds))


def result(patient: Patience, *outcomes: Outcome) -> tuple[Outcome, list[Waiting], int]:
    """Return the outcome that counts, the seconds of waiting, and how many attempts there were."""
    left = list(outcomes)
    attempts = attempt_quietly(lambda: left.pop(0), patient)
    waited = []
    while True:
        try:
            event = next(attempts)
            if isinstance(event, Waiting):
                waited.append(event)
        except StopIteration as end:
            return end.value, waited, len(outcomes) - len(left)


def test_a_quiet_round_is_measured_once_without_waiting() -> None:
    outcome, waited, attempts = result(patience(0.9), ok(0.1))
    assert (outcome.round, waited, attempts) == (entries(0.1), [], 1)


def test_what_others_used_is_unknown_on_some_systems_and_repeats_nothing() -> None:
    outcome, waited, attempts = result(patience(0.9), ok(None))
    assert (waited, attempts, is_disturbed(outcome.round)) == ([], 1, False)


def test_a_disturbed_round_is_repeated_after_the_machine_is_quiet_and_both_are_kept() -> None:
    outcome, waited, attempts = result(patience(0.5, 0.4), ok(0.5, 3.0, converged=False), ok(0.02))
    assert attempts == 2
    assert [wait.others_share for wait in waited] == [0.5, 0.4]
    assert 60 > waited[0].seconds_left > waited[1].seconds_left > 59
    earlier = {"samples_ms": [3.0], "converged": False, "others_share": 0.5, "repeated_because": "disturbed"}
    assert outcome.round == entries(0.02) | {"repeated_after": [earlier]}


@pytest.mark.parametrize("shares", [(0.3, 0.2, 0.4), (0.2, 0.3, 0.4), (0.4, 0.3, 0.2)])
def test_the_least_disturbed_of_three_counts_even_where_it_is_the_slowest(shares: tuple[float, ...]) -> None:
    outcome, _, attempts = result(patience(), *(ok(share, ms=1 / share) for share in shares))
    assert attempts == 3
    assert (outcome.round["others_share"], outcome.round["samples_ms"]) == (0.2, [5.0])
    others = outcome.round["repeated_after"]
    assert [attempt["others_share"] for attempt in others] == [share for share in shares if share != 0.2]
    reasons = ["disturbed", "disturbed", ""]  # nothing follows the third
    assert [a["repeated_because"] for a in others] == [
        r for r, share in zip(reasons, shares, strict=True) if share != 0.2
    ]


def test_without_waiting_a_disturbed_round_is_not_repeated() -> None:
    outcome, waited, attempts = result(patience(0.9, wait_s=0), ok(0.7))
    assert (attempts, waited, "repeated_after" in outcome.round) == (1, [], False)


def test_waits_for_all_repeats_of_a_round_end_together() -> None:
    def slowly() -> float:
        time.sleep(0.05)
        return 0.9

    start = time.monotonic()
    _, waited, attempts = result(Patience(0.3, slowly), *[ok(0.5)] * 3)
    assert attempts == 3
    assert 3 <= len(waited) <= 6  # of 50 ms and more; each repeat measures one more second
    assert time.monotonic() - start < 2


def test_a_throttled_round_is_repeated_once_and_also_without_waiting() -> None:
    hot = {"throttle_reasons": 0x20, "sm_mhz": 1200}
    slow = ok(QUIET, 2.0, throttled=gpu.throttled(hot), gpu=hot)
    cool = ok(QUIET, 1.0, throttled=[], gpu={})
    outcome, waited, attempts = result(patience(wait_s=0), slow, cool, cool)
    assert (outcome.round["samples_ms"], attempts, waited) == ([1.0], 2, [])
    (earlier,) = outcome.round["repeated_after"]
    assert (earlier["throttled"], earlier["gpu"], earlier["repeated_because"]) == (
        ["software thermal slowdown"],
        hot,
        "throttled",
    )
    outcome, _, attempts = result(patience(wait_s=0), slow, slow, cool)
    assert (outcome.round["throttled"], attempts) == (["software thermal slowdown"], 2)  # flagged


def test_a_throttled_attempt_never_counts_before_a_disturbed_one() -> None:
    outcome, _, attempts = result(patience(), ok(0.5), ok(QUIET, throttled=["power cap"]), ok(0.3))
    assert (outcome.round["others_share"], attempts) == (0.3, 3)


def test_an_attempt_that_fails_ends_the_round_and_the_earlier_times_are_kept() -> None:
    outcome, _, attempts = result(patience(), ok(0.5), Outcome(Status.WRONG, "off by 1", round={"kernel_errors": {}}))
    assert (outcome.status, outcome.reason, attempts) == (Status.WRONG, "off by 1", 2)
    assert [attempt["others_share"] for attempt in outcome.round["repeated_after"]] == [0.5]


class NoKey:
    """The key of a cell of which nothing is measured."""


def happenings(monkeypatch: pytest.MonkeyPatch, shares: Iterator[float], cells: int) -> list[object]:
    """Return what happens in a sweep of one round whose measured rounds are as disturbed as ``shares`` say."""
    monkeypatch.setattr(rounds, "run", lambda *_: ok(next(shares)))
    monkeypatch.setattr(rounds, "Patience", lambda wait_s: patience(wait_s=wait_s))
    planned = [Cell(NoKey(), "", {}) for _ in range(cells)]
    return list(sweep("none", planned, {}, SamplingConfig(rounds=1)))


def test_a_sweep_names_each_round_before_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    events = happenings(monkeypatch, chain([QUIET, 0.5], repeat(QUIET)), 2)
    assert [type(event) for event in events] == [RoundStart, RoundEnd, RoundStart, Repeat, RoundEnd]
    assert events[3] == Repeat(2, "disturbed")


def test_on_a_machine_that_stays_busy_a_sweep_stops_repeating_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = happenings(monkeypatch, repeat(0.5), 6)
    assert sum(isinstance(event, GaveUp) for event in events) == 1
    counts = [len(e.outcome.round.get("repeated_after", ())) for e in events if isinstance(e, RoundEnd)]
    assert counts == [2] * MOST_FRUITLESS + [0] * (6 - MOST_FRUITLESS)


def test_after_a_quiet_round_a_sweep_repeats_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = chain([0.5] * 3 * MOST_FRUITLESS, [0.5, QUIET, 0.5], repeat(QUIET))
    events = happenings(monkeypatch, shares, MOST_FRUITLESS + 3)
    counts = [len(e.outcome.round.get("repeated_after", ())) for e in events if isinstance(e, RoundEnd)]
    assert counts == [2] * MOST_FRUITLESS + [0, 0, 1]


def test_a_record_with_the_former_single_repeat_is_still_read() -> None:
    earlier = {"samples_ms": [2.0], "throttled": ["power cap"], "gpu": {}}
    record = Record({"suite": "latency"}, Status.OK, rounds=(entries(QUIET) | {"repeated_after": earlier},))
    assert Record.from_json(record.to_json()) == record
