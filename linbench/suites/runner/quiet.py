"""A round on a machine where other programs compute: wait for quiet, repeat what was disturbed, give up in time.

The least disturbed attempt counts, never the fastest; the others stay in its round under ``repeated_after``, a list
(in records of earlier versions one attempt: the throttled one).
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from linbench.records import Status
from linbench.suites.runner.suite import Outcome
from linbench.system.contention import MOST_BY_OTHERS, others_share

MOST_ATTEMPTS = 3  # at one round
MOST_FRUITLESS = 2  # rounds in a row that stay disturbed, until waiting and repeating end
DISTURBED, THROTTLED = "disturbed", "throttled"
KEPT = (
    "samples_ms",
    "converged",
    "others_share",
    "cpu_share",
    "throttled",
    "gpu",
)  # of an attempt that does not count


@dataclass(frozen=True)
class Waiting:
    """A second of waiting. others_share: What other programs used in it.  seconds_left: Until waiting ends anyway."""

    others_share: float
    seconds_left: float


@dataclass(frozen=True)
class Repeat:
    """A round that is measured again. attempt: Counts from 2.  because: ``disturbed`` or ``throttled``."""

    attempt: int
    because: str


@dataclass(frozen=True)
class GaveUp:
    """Other programs kept computing: until a round is quiet, none is waited for or repeated."""


class Patience:
    """How long a sweep waits for quiet, and whether it still does.

    wait_s: Longest wait before a round and for its repeats together; 0 for none, and no repeats either.
    measure: Rests for a second and returns what others used in it; None where the system does not tell.
    """

    def __init__(self, wait_s: float, measure: Callable[[], float | None] = others_share) -> None:
        self.wait_s = wait_s
        self.is_quiet = True  # in the last second that ``wait`` measured
        self._measure = measure
        self._fruitless = 0
        self._has_news = False

    @property
    def is_spent(self) -> bool:
        """Whether disturbed rounds are neither waited for nor repeated."""
        return self.wait_s <= 0 or self._fruitless >= MOST_FRUITLESS

    def wait(self, until: float) -> Iterator[Waiting]:
        """Wait for a quiet second, at most until this time of the monotonic clock; yield every other second."""
        while True:
            share = self._measure()
            self.is_quiet = share is None or share <= MOST_BY_OTHERS
            left = until - time.monotonic()
            if share is None or self.is_quiet or left <= 0:
                return
            yield Waiting(share, left)

    def learn(self, outcome: Outcome) -> None:
        """Note whether a round stayed disturbed."""
        was_spent = self.is_spent
        self._fruitless = self._fruitless + 1 if is_disturbed(outcome.round) else 0
        self._has_news = self.is_spent and not was_spent

    def news(self) -> Iterator[GaveUp]:
        """Yield once after the round that ended the waiting."""
        if self._has_news:
            self._has_news = False
            yield GaveUp()


def attempt_quietly(measure: Callable[[], Outcome], patience: Patience) -> Generator[Waiting | Repeat, None, Outcome]:
    """Measure a round, again where it was throttled or disturbed, and return the outcome that counts.

    A throttled round is repeated once; a disturbed one after waiting, up to ``MOST_ATTEMPTS`` in all.
    An attempt that fails ends the round and counts.
    """
    attempts, reasons = [measure()], list[str]()
    wait_s = patience.wait_s
    while attempts[-1].status is Status.OK and (reason := _why_repeat(attempts[-1], reasons, patience)):
        reasons.append(reason)
        if reason == DISTURBED:
            start = time.monotonic()
            yield from patience.wait(start + wait_s)
            wait_s -= time.monotonic() - start
        yield Repeat(len(attempts) + 1, reason)
        attempts.append(measure())
    outcome = _joined(attempts, reasons)
    patience.learn(outcome)
    return outcome


def is_disturbed(round: Mapping[str, Any]) -> bool:
    """Return whether other programs used more than ``MOST_BY_OTHERS`` of the cores; False where that is unknown."""
    share = round.get("others_share")
    return isinstance(share, int | float) and share > MOST_BY_OTHERS


def _why_repeat(last: Outcome, reasons: list[str], patience: Patience) -> str:
    if len(reasons) + 1 >= MOST_ATTEMPTS:
        return ""
    if last.round.get("throttled") and THROTTLED not in reasons:
        return THROTTLED
    return DISTURBED if is_disturbed(last.round) and not patience.is_spent else ""


def _joined(attempts: list[Outcome], reasons: list[str]) -> Outcome:
    """Return the attempt that counts, with the others in its round and why each was repeated."""
    if len(attempts) == 1:
        return attempts[0]
    best = min(reversed(attempts), key=_disturbance)
    others = [
        {name: attempt.round[name] for name in KEPT if name in attempt.round} | {"repeated_because": reason}
        for attempt, reason in zip(attempts, [*reasons, ""], strict=True)
        if attempt is not best
    ]
    return replace(best, round={**best.round, "repeated_after": others})


def _disturbance(outcome: Outcome) -> tuple[bool, bool, float]:
    """Return how much an attempt was disturbed; those below the limit are equal, and one that failed comes first."""
    share = outcome.round["others_share"] if is_disturbed(outcome.round) else MOST_BY_OTHERS
    return outcome.status is Status.OK, bool(outcome.round.get("throttled")), share
