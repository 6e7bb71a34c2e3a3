"""Columns of numbers and texts, small enough to travel inside a page."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

DIGITS = 5
MOST_SAMPLES = 150_000  # in a page, of all cells together
FEWEST, MOST = 6, 60  # samples of one round
STEP = 1000  # a sample is rounded to 1/STEP of its median


class TextPool:
    """Every text and every environment of a page, stored once and named by its index."""

    def __init__(self) -> None:
        """Start empty."""
        self.texts: list[str] = []
        self.environments: list[list[int]] = []
        self.settings: list[list[int]] = []
        self._text_indices: dict[str, int] = {}
        self._environment_indices: dict[str, int] = {}
        self._setting_indices: dict[str, int] = {}

    def index(self, value: object) -> int:
        """Return the index of a text, which is added where it is new."""
        text = str(value)
        if text not in self._text_indices:
            self._text_indices[text] = len(self.texts)
            self.texts.append(text)
        return self._text_indices[text]

    def environment(self, environment: Mapping[str, Any]) -> int:
        """Return the index of an environment, which is added where it is new, without its modules."""
        text = json.dumps(dict(environment), sort_keys=True)
        if text not in self._environment_indices:
            self._environment_indices[text] = len(self.environments)
            self.environments.append(self.pairs({k: v for k, v in environment.items() if k != "modules"}))
        return self._environment_indices[text]

    def setting(self, settings: Mapping[str, Any]) -> int:
        """Return the index of the settings of a cell, which are added where they are new."""
        text = json.dumps(dict(settings), sort_keys=True)
        if text not in self._setting_indices:
            self._setting_indices[text] = len(self.settings)
            self.settings.append(self.pairs(settings))
        return self._setting_indices[text]

    def pairs(self, values: Mapping[str, Any], prefix: str = "") -> list[int]:
        """Return the indices of names and values in turn; a name inside of a value is ``outer.inner``."""
        indices: list[int] = []
        for name, value in values.items():
            if isinstance(value, Mapping):
                indices += self.pairs(value, f"{prefix}{name}.")
            else:
                text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
                indices += [self.index(f"{prefix}{name}"), self.index(text)]
        return indices


def number(value: object) -> float | int | None:
    """Return a number rounded to DIGITS digits; None for a value that is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def dictionaries(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield each row of a frame by the names of its columns."""
    return ({str(name): value for name, value in row.items()} for row in frame.to_dict(orient="records"))


def as_columns(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return rows of equal names as one list for each name; without the names that are None in every row."""
    columns: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return {name: values for name, values in columns.items() if any(value is not None for value in values)}


def samples_per_round(cells: int, rounds: int = 3) -> int:
    """Return how many samples of each round a page of ``cells`` cells stores."""
    return min(max(MOST_SAMPLES // max(cells * rounds, 1), FEWEST), MOST)


def thin(samples: Sequence[float], most: int) -> list[float]:
    """Return at most ``most`` of the samples, evenly spaced in the order in which they were taken."""
    if len(samples) <= most:
        return list(samples)
    return [samples[round(i * (len(samples) - 1) / (most - 1))] for i in range(most)]


def relative_steps(samples: Iterable[float], median: float) -> list[int]:
    """Return each sample's distance from ``median`` in 1/STEP of it."""
    return [round((sample / median - 1) * STEP) for sample in samples]
