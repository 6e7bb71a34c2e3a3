"""The search behind the preset ``best``: what makes a backbone fastest on this device without changing results.

One search for each backbone, its options, dtype, device and thread count, at one size of the sweep: the largest of
at most 1024² pixels. It starts from settings that help nearly everywhere, and goes once through the axes: each other
value of an axis is a candidate, tried in a fresh process (``trial.py``), and replaces the value in hand where it is
right, its median is lower by MARGIN, and the intervals of the two medians lie apart. What was tried and what was kept
is a record of its own, so that a resumed sweep does not search again; each cell's record carries it too. A search by
other code is made again.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

from linbench.records import Record, Status, Store
from linbench.suites.contract import Cell, Key, Outcome
from linbench.suites.resolutions import Size
from linbench.suites.rounds import Pace, run
from linbench.suites.sampling import median_interval
from linbench.suites.settings import Preset, Settings, keeps, rounds_products, settings

VERSION = 2
ENTRIES = ("linbench.suites.search", "linbench.suites.trial")
MOST_PIXELS = 1024**2
MARGIN = 0.03  # of the median in hand: what a candidate must win, less is not worth its name
SAMPLE_SECONDS = 2.0  # sampling of one candidate
LONGEST = 2.0  # one candidate's life, start included, as a multiple of the time for the search; at least
LEAST_LIFE = 60.0  # this many seconds

Axes: TypeAlias = tuple[tuple[str, tuple[Any, ...]], ...]
Attempt: TypeAlias = tuple[Settings, Outcome]


@dataclass(frozen=True)
class Search:
    """What is to be found, before it is.

    key: Of its record.  base: Of a candidate, without its settings.  variables: Of a candidate's process.
    """

    key: Key
    base: Key
    start: Settings
    axes: Axes
    code_hash: str
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What is searched for, for a person."""
        key, size = self.key, f"{self.key['height']}x{self.key['width']}"
        words = (key["backbone"], key["part"], key["fusion"], size, key["dtype"])
        return " ".join(word for word in words if word != "none")


def size_of(resolutions: Sequence[Size]) -> Size:
    """Where a sweep over these sizes searches."""
    fits = [size for size in resolutions if size[0] * size[1] <= MOST_PIXELS]
    return max(fits, key=_pixels) if fits else min(resolutions, key=_pixels)


def _pixels(size: Size) -> int:
    return size[0] * size[1]


def axes(device_type: str, dtype: str, options: tuple[str, ...]) -> Axes:
    """The settings that may help on a device, each with its values, the least certain first.

    options: What the backbone's factory takes.
    """
    fused = (("fused", (True, False)),) if "fused" in options else ()
    layout = (("memory_format", ("contiguous", "channels_last")),)
    if device_type == "cuda":
        attention: Axes = (
            ("attention", ("sdpa",)),
            ("sdpa_backend", ("auto", "cudnn", "flash", "efficient", "math")),
        )
        rest = (*fused, *layout, ("compile", (False, True)))
        return (("cuda_graph", (False, True)), *(attention if "attention" in options else ()), *rest)
    attention = (("attention", ("sdpa", "chunked")),) if "attention" in options else ()
    matmul = (("matmul", ("highest", "medium")),) if dtype == "float32" and not rounds_products() else ()
    allocator = (("allocator", ("default", "keep")),) if keeps() else ()
    return (*attention, *fused, *layout, *matmul, *allocator)


def plan(base: Key, resolutions: Sequence[Size], options: tuple[str, ...], code_hash: str, threads: int) -> Search:
    """The search that a cell's settings wait for.

    base: The key of one of its cells, with any size and settings.
    """
    start = settings(Preset.BEST, base["device_type"], base["dtype"], options)
    height, width = size_of(resolutions)
    plain = {name: value for name, value in base.items() if name not in start.key}
    candidate = {**plain, "height": height, "width": width, "mode": "latency"}
    key = {**candidate, "suite": "search", "searched_by": base["suite"], "suite_version": VERSION}
    tried = axes(base["device_type"], base["dtype"], options)
    return Search(key, candidate, start, tried, code_hash, {"OMP_NUM_THREADS": str(threads)})


def pending(cells: Iterable[Cell]) -> list[Search]:
    """The searches that cells wait for, each once."""
    return list({str(cell.pending.key): cell.pending for cell in cells if cell.pending}.values())


def stored(search: Search, store: Store) -> Record | None:
    """The record of the search, where the present code made it and it says what was kept."""
    record = store.get(search.key)
    if record is None or record.code_hash != search.code_hash or "kept" not in record.search:
        return None
    return record if record.search["kept"] is None or _are_settings(record.search["kept"]) else None


def _are_settings(value: Any) -> bool:
    """Whether JSON's value is ``Settings.key`` of some settings."""
    example = Settings(Preset.BEST).key
    same = isinstance(value, dict) and value.keys() == example.keys()
    return same and value["preset"] in set(Preset) and all(type(value[n]) is type(one) for n, one in example.items())


def make(search: Search, pace: Pace, seconds: float, plugins: Sequence[Path] = ()) -> Record:
    """Search for at most ``seconds``, and the candidate that is then at work; in processes, none of them this."""
    life = replace(
        pace, cell_seconds=SAMPLE_SECONDS, timeout_s=min(pace.timeout_s, max(LEAST_LIFE, LONGEST * seconds))
    )

    def attempt(chosen: Settings) -> Outcome:
        cell = Cell({**search.base, **chosen.key}, search.code_hash, {}, {**search.variables, **chosen.variables})
        return run(str(search.key["searched_by"]), cell, life, pace.seed, plugins, call="trial")

    started = datetime.now(UTC).isoformat(timespec="seconds")
    begin = time.monotonic()
    found = explore(search.start, search.axes, attempt, seconds)
    return as_record(search, found, started, time.monotonic() - begin)


@dataclass(frozen=True)
class Found:
    """attempts: All that was tried, in order.  kept: The fastest right one, or None.  untried: For want of time."""

    attempts: tuple[Attempt, ...]
    kept: Settings | None
    untried: tuple[Settings, ...]


def explore(
    start: Settings,
    along: Axes,
    attempt: Callable[[Settings], Outcome],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """Go through the axes once, from ``start`` or, where that is not right, from the plain settings.

    attempt: One candidate's outcome; its round holds ``samples_ms`` where the status is ok.
    seconds: After these no further candidate is tried.
    """
    until = clock() + seconds
    attempts: list[Attempt] = []
    untried: list[Settings] = []
    for kept in dict.fromkeys((start, plainest(start))):
        if attempts and clock() >= until:
            return Found(tuple(attempts), None, (kept,))
        attempts.append((kept, attempt(kept)))
        if attempts[-1][1].status is Status.OK:
            break
    else:
        return Found(tuple(attempts), None, ())
    times = attempts[-1][1].round["samples_ms"]
    for name, values in along:
        for value in values:
            candidate = replace(kept, **{name: value})
            if any(candidate == tried for tried, _ in attempts):
                continue
            if clock() >= until:
                untried.append(candidate)
                continue
            outcome = attempt(candidate)
            attempts.append((candidate, outcome))
            if outcome.status is Status.OK and wins(outcome.round["samples_ms"], times):
                kept, times = candidate, outcome.round["samples_ms"]
    return Found(tuple(attempts), kept, tuple(untried))


def wins(samples: list[float], over: list[float]) -> bool:
    """Whether these ms are less than others by MARGIN, with the medians' intervals apart; of few samples, all."""
    high = (median_interval(samples) or (min(samples), max(samples)))[1]
    low = (median_interval(over) or (min(over), max(over)))[0]
    return high < low and median(samples) < (1 - MARGIN) * median(over)


def plainest(start: Settings) -> Settings:
    """The preset ``paper`` as a candidate of a search that starts from ``start``."""
    attention = "none" if start.attention == "none" else "naive"
    return Settings(preset=start.preset, impl=start.impl, attention=attention)


def as_record(search: Search, found: Found, started: str, seconds: float) -> Record:
    """The record of a search: an entry for each candidate in ``rounds``, the rest in ``search``."""
    names = tuple(dict.fromkeys(("attention", *(name for name, _ in search.axes))))
    entries = tuple(
        {
            "settings": _some(chosen, names),
            "status": str(outcome.status),
            "reason": outcome.reason,
            "kept": chosen == found.kept,
            **outcome.round,
        }
        for chosen, outcome in found.attempts
    )
    last = found.attempts[-1][1]
    block = {
        "start": search.start.key,
        "kept": found.kept.key if found.kept else None,
        "candidates": [{k: v for k, v in entry.items() if k != "samples_ms"} for entry in entries],
        "untried": [_some(chosen, names) for chosen in found.untried],
        "height": search.key["height"],
        "width": search.key["width"],
        "margin": MARGIN,
        "seconds": seconds,
        "started": started,
        "code_hash": search.code_hash,
    }
    status = Status.OK if found.kept else last.status
    reason = "" if found.kept else f"no candidate ran and was right; the last said: {last.reason}"
    environment = next((outcome.environment for _, outcome in found.attempts if outcome.environment), {})
    return Record(search.key, status, reason, entries, {}, environment, search.code_hash, last.log, search=block)


def _some(chosen: Settings, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in chosen.key.items() if name in names}


def settled(cell: Cell, record: Record) -> Cell:
    """``cell`` under the settings that its search kept, or under those that it started from where it kept none."""
    assert cell.pending is not None
    kept = record.search["kept"]
    chosen = Settings(**{**kept, "preset": Preset(kept["preset"])}) if kept else cell.pending.start
    return replace(
        cell,
        key={**cell.key, **chosen.key},
        variables={**cell.pending.variables, **chosen.variables},
        pending=None,
        search=record.search,
    )
