"""A slow oracle of what latency records support: the raw samples, textbook tests, and nothing of the reports."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import NormalDist, mean, median, stdev
from typing import Any

import numpy as np

from linbench.records import Record, Status
from tests.reports.cases import record

NAMES = ("vit-t", "vim-t", "vrwkv-t", "rwkv-sam-t")
SIDES = (256, 512, 1024, 2048)


@dataclass(frozen=True)
class Oracle:
    """The records of one comparison by backbone and side."""

    records: dict[tuple[str, int], Record]

    def ok(self, name: str) -> list[int]:
        """The sides at which a backbone gave a time."""
        return [side for (other, side), made in self.records.items() if other == name and made.status is Status.OK]

    def medians(self, name: str, side: int) -> list[float]:
        return [median(entry["samples_ms"]) for entry in self.records[name, side].rounds]

    def ms(self, name: str, side: int) -> float:
        return median(self.medians(name, side))

    def is_doubtful(self, name: str, side: int) -> bool:
        rounds = self.records[name, side].rounds
        return len(rounds) < 3 or any(
            (entry.get("others_share") or 0) > 0.1 or entry["throttled"] for entry in rounds
        )

    def is_sound(self, *names: str) -> bool:
        """Whether every time of these curves may be derived from."""
        return not any(self.is_doubtful(name, side) for name in names for side in self.ok(name))

    def slope(self, name: str) -> float:
        sides = self.ok(name)
        return float(np.polyfit([2 * math.log(s) for s in sides], [math.log(self.ms(name, s)) for s in sides], 1)[0])

    def log_time(self, name: str, side: Any) -> Any:
        """The logarithm of a time on the curve that is straight between measured sides, for each of several sides."""
        sides = self.ok(name)
        logs = [math.log(self.ms(name, s)) for s in sides]
        return np.interp(np.log(side), np.log(sides), logs)

    def crossings(self, name: str, other: str) -> list[float]:
        """Where the curves cross, in px, on a fine grid of the common range."""
        low, high = max(self.ok(name)[0], self.ok(other)[0]), min(self.ok(name)[-1], self.ok(other)[-1])
        grid = np.geomspace(low, high, 2001)
        is_slower = self.log_time(name, grid) > self.log_time(other, grid)
        return [float(grid[i]) for i in np.flatnonzero(is_slower[:-1] != is_slower[1:])]

    def welch(self, name: str, other: str, side: int) -> tuple[float, float, float]:
        """The p that two times are equal, and the 95 % interval of their ratio."""
        first, second = ([math.log(ms) for ms in self.medians(n, side)] for n in (name, other))
        parts = [stdev(logs) ** 2 / len(logs) for logs in (first, second)]
        error = math.sqrt(sum(parts))
        freedom = sum(parts) ** 2 / sum(p**2 / (len(g) - 1) for p, g in zip(parts, (first, second), strict=True))
        distance = mean(first) - mean(second)
        half = _quantile(math.floor(100 * freedom) / 100) * error  # rounded down, as the reports document
        return _p(abs(distance) / error, freedom), math.exp(distance - half), math.exp(distance + half)

    def is_shown(self, faster: str, slower: str, side: int) -> bool:
        if self.is_doubtful(faster, side) or self.is_doubtful(slower, side):
            return False
        return self.ms(faster, side) < self.ms(slower, side) and self.welch(faster, slower, side)[0] < 0.05

    def ran(self, side: int) -> list[str]:
        return [name for name in NAMES if (name, side) in self.records and side in self.ok(name)]

    def is_fastest(self, name: str, side: int) -> bool:
        """Whether Holm's step-down over all pairs of a side rejects equality for each pair of ``name``."""
        names = self.ran(side)
        if any(self.is_doubtful(other, side) for other in names):
            return False
        pairs = sorted((self.welch(a, b, side)[0], a, b) for a, b in combinations(names, 2))
        rejected = set()
        for i, (p, a, b) in enumerate(pairs):
            if p * (len(pairs) - i) >= 0.05:
                break
            rejected.add(frozenset((a, b)))
        return all(
            frozenset((name, b)) in rejected and self.ms(name, side) < self.ms(b, side) for b in names if b != name
        )


def random_set(seed: int) -> Oracle:
    """Records of a few models and sides: laws of any kind, some failed, few, noisy, disturbed or throttled."""
    g = np.random.default_rng([13, seed])
    names = [name for name in NAMES if g.random() < 0.75] or ["vit-t"]
    sides = [side for side in SIDES if g.random() < 0.7] or [512]
    trouble = g.choice([0.0, 0.0, 0.1, 0.5])
    records = {}
    for name in names:
        power, start = (1.6 if name == "vit-t" else 1.0), 10 * math.exp(g.normal(0, 0.8))
        for side in sides:
            if g.random() < 0.1:
                records[name, side] = record(name, side, status=Status.OOM, reason="no memory")
                continue
            few, busy, hot = (g.random() < trouble for _ in range(3))
            noise = float(g.choice([0.003, 0.03, 0.15]))
            ms = start * (side / 256) ** (2 * power) * (9 if busy and g.random() < 0.5 else 1)
            made = record(
                name,
                side,
                ms,
                rounds=int(g.integers(1, 3) if few else g.integers(3, 6)),
                samples=int(g.choice([1, 5, 25])),
                noise=noise,
                converged=bool(g.random() < 0.5),
            )
            share = float(g.uniform(0.11, 0.9)) if busy else None if g.random() < 0.3 else 0.02
            last = {**made.rounds[-1], "others_share": share, "throttled": ["power cap"] if hot else []}
            entries = [{**entry, "others_share": 0.0, "throttled": []} for entry in made.rounds[:-1]]
            records[name, side] = replace(made, rounds=(*entries, last))
    return Oracle(records)


def _p(t: float, freedom: float) -> float:
    """Two-sided p of Student's t by Simpson's rule over the density."""
    angle = math.atan(t / math.sqrt(freedom))
    steps = 400
    values = np.cos(np.linspace(0, angle, steps + 1)) ** (freedom - 1)
    area = angle / steps / 3 * float(values[0] + values[-1] + 4 * values[1::2].sum() + 2 * values[2:-1:2].sum())
    scale = 2 * math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    return max(0.0, 1 - scale * area)


def _quantile(freedom: float) -> float:
    """The t whose two-sided p is 0.05, by bisection."""
    low, high = NormalDist().inv_cdf(0.975), 100.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _p(middle, freedom) > 0.05 else (low, middle)
    return high


def side_of(size: str) -> int:
    return int(size.rstrip("²"))


def listed_cells(text: str) -> Iterator[tuple[str, int]]:
    """The cells that "vit-t, vim-t at 512², 1024²; vrwkv-t at 512²" names."""
    for part in text.split("; "):
        names, _, sizes = part.partition(" at ")
        yield from ((name, side_of(size)) for name in names.split(", ") for size in sizes.split(", "))


def names_of(oracle: Oracle) -> Sequence[str]:
    return [name for name in NAMES if any(other == name for other, _ in oracle.records)]
