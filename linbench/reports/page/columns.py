"""Columns of numbers and texts, small enough to travel inside a page."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

DIGITS = 5
MOST_SAMPLES = 150_000  # in a page, of all cells together
FEWEST, MOST = 6, 60  # of one round
STEP = 1000  # a sample is kept to the nearest 1/STEP of its median


class Texts:
    """Every text of a page once, and every environment; each is named by its place."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self.environments: list[list[int]] = []
        self._places: dict[str, int] = {}
        self._known: dict[str, int] = {}

    def place(self, text: object) -> int:
        """Where ``text`` is, or now goes."""
        said = str(text)
        if said not in self._places:
            self._places[said] = len(self.all)
            self.all.append(said)
        return self._places[said]

    def environment(self, environment: Mapping[str, Any]) -> int:
        """Where ``environment`` is among the environments, or now goes; the modules behind a number are left out."""
        said = json.dumps(dict(environment), sort_keys=True)
        if said not in self._known:
            self._known[said] = len(self.environments)
            self.environments.append(self.pairs({k: v for k, v in environment.items() if k != "modules"}))
        return self._known[said]

    def pairs(self, named: Mapping[str, Any], within: str = "") -> list[int]:
        """Names and values in turn; what is inside of a value is named ``outer.inner``."""
        found: list[int] = []
        for name, value in named.items():
            if isinstance(value, Mapping):
                found += self.pairs(value, f"{within}{name}.")
            else:
                said = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
                found += [self.place(f"{within}{name}"), self.place(said)]
        return found


def number(value: object) -> float | int | None:
    """A number of DIGITS digits; None for one that is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def columns(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Rows of equal names as one list for each name."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            found.setdefault(name, []).append(value)
    return found


def samples_of_a_round(cells: int, rounds: int = 3) -> int:
    """How many samples of each round a page of ``cells`` cells holds."""
    return min(max(MOST_SAMPLES // max(cells * rounds, 1), FEWEST), MOST)


def thinned(samples: Sequence[float], most: int) -> list[float]:
    """At most ``most`` of the samples, evenly spaced in the order in which they were taken."""
    if len(samples) <= most:
        return list(samples)
    return [samples[round(i * (len(samples) - 1) / (most - 1))] for i in range(most)]


def around(samples: Iterable[float], median: float) -> list[int]:
    """Each sample's distance from ``median`` in 1/STEP of it."""
    return [round((sample / median - 1) * STEP) for sample in samples]
