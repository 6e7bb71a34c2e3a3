"""A slow oracle of what records of latencies support: plain Python on the raw samples, without linbench's reports."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from linbench.records import Record

STEPS = 240  # of Simpson's rule


@dataclass(frozen=True)
class Cell:
    """One record, and what of it the oracle knows."""

    record: Record

    @property
    def name(self) -> str:
        return str(self.record.key["backbone"])

    @property
    def size(self) -> int:
        return int(self.record.key["height"])

    @property
    def is_ok(self) -> bool:
        return self.record.status == "ok"

    @property
    def medians(self) -> list[float]:
        return [median(entry["samples_ms"]) for entry in self.record.rounds]

    @property
    def ms(self) -> float:
        return median(self.medians)

    @property
    def by_others(self) -> float:
        return max((entry["others_share"] or 0.0 for entry in self.record.rounds), default=0.0)

    @property
    def is_throttled(self) -> bool:
        return any(entry["throttled"] for entry in self.record.rounds)

    @property
    def marks(self) -> str:
        """The marks that forbid to derive anything."""
        few, disturbed = len(self.record.rounds) < 3, self.by_others > 0.1
        return "ᵃ" * few + "‡" * disturbed + "§" * self.is_throttled

    @property
    def supports(self) -> bool:
        """Whether anything may be derived from its time."""
        return self.is_ok and not self.marks

    @property
    def text(self) -> str:
        """The time as a table has it."""
        if not self.is_ok:
            return str(self.record.status)
        converged = all(entry["converged"] for entry in self.record.rounds)
        return "~" * (not converged) + digits(self.ms) + self.marks

    @property
    def log_moments(self) -> tuple[float, float]:
        """The mean of the logarithms of the rounds' medians, and its squared standard error."""
        logs = [math.log(value) for value in self.medians]
        mean = sum(logs) / len(logs)
        return mean, sum((x - mean) ** 2 for x in logs) / (len(logs) - 1) / len(logs)

    @property
    def high(self) -> float:
        """The upper end of the 95 % interval."""
        mean, variance = self.log_moments
        return max(self.ms, math.exp(mean + quantile(len(self.medians) - 1) * math.sqrt(variance)))


def median(values: Sequence[float]) -> float:
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def digits(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}"


def within(t: float, freedom: float) -> float:
    """P(|T| ≤ t) of Student's distribution: the density in the angle, by Simpson's rule."""
    end = math.atan(t / math.sqrt(freedom))
    heights = [math.cos(end * i / STEPS) ** (freedom - 1) for i in range(STEPS + 1)]
    area = end / STEPS / 3 * (heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2]))
    return 2 * area * math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)


def quantile(freedom: float) -> float:
    """The t with P(|T| ≤ t) = 95 %, by bisection."""
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle, freedom) < 0.95 else (low, middle)
    return high


def p_values(a: Cell, b: Cell, margin: float = 0.02) -> tuple[float, float]:
    """Welch's p of no difference, and of a difference of the margin or more."""
    (first, u), (second, v) = a.log_moments, b.log_moments
    freedom = (u + v) ** 2 / (u * u / (len(a.medians) - 1) + v * v / (len(b.medians) - 1))
    difference, bound = second - first, math.log(1 + margin)

    def two_sided(truth: float) -> float:
        return 1 - within(abs(difference - truth) / math.sqrt(u + v), freedom)

    apart = 1.0 if abs(difference) >= bound else max(two_sided(-bound), two_sided(bound)) / 2
    return two_sided(0.0), apart


def holm(values: Sequence[float]) -> list[float]:
    return [
        max(min(1.0, q * (len(values) - sorted(values).index(q))) for q in values if q <= value) for value in values
    ]


def verdicts(pairs: Sequence[tuple[Cell, Cell]]) -> list[str]:
    """The verdict on each pair, "" where one does not support it; "?" so near to 5 % that rounding decides."""
    tested = [pair for pair in pairs if all(cell.supports for cell in pair)]
    values = [p_values(*pair) for pair in tested]
    corrected = zip(holm([same for same, _ in values]), holm([apart for _, apart in values]), strict=True)
    judged = iter([_verdict(pair, *p) for pair, p in zip(tested, corrected, strict=True)])
    return [next(judged) if all(cell.supports for cell in pair) else "" for pair in pairs]


def _verdict(pair: tuple[Cell, Cell], same: float, apart: float) -> str:
    if min(abs(same - 0.05), abs(apart - 0.05)) < 1e-4:
        return "?"
    if apart < 0.05:
        return "TIE"
    slower = "SLOWER" if pair[1].ms > pair[0].ms else "FASTER"
    return slower if same < 0.05 else "AMBIGUOUS"


def all_pairs(cells: Sequence[Cell], names: Sequence[str]) -> list[tuple[Cell, Cell]]:
    """Each two of the backbones at each size that both have."""
    by_place = {(cell.name, cell.size): cell for cell in cells}
    sizes = sorted({cell.size for cell in cells})
    places = [((a, size), (b, size)) for size in sizes for a, b in combinations(names, 2)]
    return [(by_place[a], by_place[b]) for a, b in places if a in by_place and b in by_place]
