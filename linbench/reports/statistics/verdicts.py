"""Whether two results differ, for all pairs that are compared at once.

Each pair is tested twice: whether it differs at all, and whether it differs by less than a stated margin (two
one-sided tests). Both kinds of p are corrected for the number of pairs by Holm's steps, so that among all verdicts of
one comparison a false one has a chance of 5 %.

| verdict | when |
|---|---|
| TIE | the difference is shown to be within the margin |
| FASTER, SLOWER; BETTER, WORSE | there is a difference, and it is not shown to be within the margin |
| AMBIGUOUS | neither is shown: more rounds or images would tell |

Times are compared by Welch's test on the logarithms of the rounds' medians; scores of single images by a bootstrap
over the images that both have, each drawn for both at once.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from linbench.metrics.intervals import drawn
from linbench.reports.statistics.latency_summary import FEWEST_ROUNDS, Contrast, Floats, Summary, around, contrast

ALPHA = 0.05
FEWEST_IMAGES = 100  # simulated, a bootstrap of 30 finds twice as many differences that are none as it should
RESAMPLES = 9999
SEED = 7


class Verdict(StrEnum):
    """What is said of the second result beside the first."""

    FASTER = "FASTER"
    SLOWER = "SLOWER"
    BETTER = "BETTER"
    WORSE = "WORSE"
    TIE = "TIE"
    AMBIGUOUS = "AMBIGUOUS"


TIMES = (Verdict.FASTER, Verdict.SLOWER)  # of a difference below zero, and above
SCORES = (Verdict.WORSE, Verdict.BETTER)


@dataclass(frozen=True)
class Difference:
    """The second result less the first: of times the logarithm of their ratio, of scores points.

    low, high: The 95 % interval, of this pair alone.
    p_same: How likely a difference as large as this is if there is none.
    p_apart: How likely one as small as this is if there is one of the margin or more.
    """

    value: float
    low: float
    high: float
    p_same: float
    p_apart: float


@dataclass(frozen=True)
class Judged:
    """verdict: None where the pair could not be tested.  p_same, p_apart: Corrected for the number of pairs."""

    verdict: Verdict | None
    p_same: float
    p_apart: float


def of_times(first: Summary, second: Summary, margin: float) -> Difference | None:
    """The difference of two latencies; None where one has too few rounds to say how far processes differ.

    margin: Of a tie, as a share: 0.02.
    """
    if min(first.rounds, second.rounds) < FEWEST_ROUNDS:
        return None
    mean, error, freedom = (
        np.array([getattr(each, name) for each in (first, second)]) for name in ("log_mean", "log_error", "freedom")
    )
    found = contrast(mean, error, freedom, np.array([-1.0, 1.0]))
    value = math.log(second.median / first.median)
    low, high = around(value, *found.interval())
    return Difference(value, low, high, float(found.beyond()), _apart(found, math.log1p(margin)))


def _apart(found: Contrast, margin: float) -> float:
    if abs(float(found.value)) >= margin:
        return 1.0
    return max(float(found.beyond(bound)) / 2 for bound in (-margin, margin))


def of_scores(pairs: Sequence[tuple[Floats, Floats]], margin: float) -> list[Difference]:
    """The difference of each pair of means, in the unit of the scores.

    pairs: Of each image the first score and the second, in one order.
    margin: Of a tie, in that unit.
    """
    found: dict[int, Difference] = {}
    apart = [second - first for first, second in pairs]
    for images in {len(each) for each in apart}:
        places = [i for i, each in enumerate(apart) if len(each) == images]
        values = np.stack([apart[i] for i in places], axis=1)
        draws = np.stack([counts @ values for counts in drawn(images, RESAMPLES, SEED)]) / images
        for i, mean, ordered in zip(places, values.mean(axis=0), np.sort(draws, axis=0).T, strict=True):
            low, high = np.quantile(ordered, (0.025, 0.975))
            same = 2 * min(_share(ordered <= 0), _share(ordered >= 0))
            beyond = max(_share(ordered <= -margin), _share(ordered >= margin))
            found[i] = Difference(float(mean), float(low), float(high), min(1.0, same), beyond)
    return [found[i] for i in range(len(pairs))]


def _share(of: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]") -> float:
    return (int(of.sum()) + 1) / (len(of) + 1)


def judge(differences: Sequence[Difference | None], words: tuple[Verdict, Verdict]) -> list[Judged]:
    """The verdict on each pair, corrected for all of them; one that could not be tested has none and does not count.

    words: ``TIMES`` or ``SCORES``.
    """
    tested = [each for each in differences if each is not None]
    same, apart = holm([each.p_same for each in tested]), holm([each.p_apart for each in tested])
    judged = iter(Judged(_verdict(each, p, q, words), p, q) for each, p, q in zip(tested, same, apart, strict=True))
    nothing = Judged(None, math.nan, math.nan)
    return [nothing if each is None else next(judged) for each in differences]


def _verdict(found: Difference, same: float, apart: float, words: tuple[Verdict, Verdict]) -> Verdict:
    if apart < ALPHA:
        return Verdict.TIE
    return words[found.value > 0] if same < ALPHA else Verdict.AMBIGUOUS


def holm(chances: Sequence[float]) -> list[float]:
    """Each p times the number of hypotheses that are not yet rejected when its turn comes, the smallest first."""
    order = sorted(range(len(chances)), key=chances.__getitem__)
    found, largest = [0.0] * len(chances), 0.0
    for done, i in enumerate(order):
        largest = max(largest, min(1.0, chances[i] * (len(chances) - done)))
        found[i] = largest
    return found


def places(order: Sequence[str], differ: Callable[[str, str], bool]) -> Mapping[str, int]:
    """The place of each in a ranking with ties: who is not shown to differ from the best of a group is in it.

    order: From the best on.
    """
    found: dict[str, int] = {}
    leader = ""
    for number, name in enumerate(order, start=1):
        if not found or differ(leader, name):
            leader, found[name] = name, number
        else:
            found[name] = found[leader]
    return found
