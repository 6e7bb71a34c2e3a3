"""The search behind the preset ``best``: what makes a backbone fastest on this device without changing results.

One search for each backbone, its options, dtype, device and thread count, at one size of the sweep: the largest of
at most 1024² pixels. It starts from settings that help nearly everywhere, and goes once through the axes: each other
value of an axis is a candidate, tried in a fresh process (``trial.py``), and replaces the best so far where it is
right, its median is lower by MARGIN, and the intervals of the two medians lie apart. The candidates and the choice
are a record, so that a resumed sweep does not search again; each cell's record carries them too. A search by other
code is made again.

The time for a search counts the starts of processes. The first candidate always runs, since the cells run under its
settings and it must be proven right. A further one starts only where the time left is as long as the best one took,
and is ended when the time is spent. Engines come last, against the best of eager: ``best`` tries ``compile``,
``deployed`` all that are installed. They compile or export first, so each has ENGINE_LIFE for itself, where the
search has LEAST_FOR_ENGINES at all.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

from linbench.engines import engine as engines
from linbench.engines.contract import COMPILE, EAGER, EngineKey, build, exported, portable_modules
from linbench.provenance import code_hash as hash_of
from linbench.records import Record, Status
from linbench.suites.latency.key import SUITE, LatencyKey, search_key
from linbench.suites.latency.settings import Preset, Settings, can_keep_memory, rounds_products
from linbench.suites.runner.resolutions import Size
from linbench.suites.runner.rounds import run
from linbench.suites.runner.sampling import SamplingConfig, median_interval
from linbench.suites.runner.suite import Cell, Outcome, SearchStep

ENTRIES = ("linbench.suites.latency.search", "linbench.suites.latency.trial")
#: Modules that check an engine, and that export and run an artifact.
REFERENCE = "linbench.suites.latency.reference"
EXPORTING = ("linbench.suites.latency.exported", "linbench.suites.latency.artifact", "linbench.engines.export")
MOST_PIXELS = 1024**2
MARGIN = 0.03  # of the best median so far: what a candidate must win; less is not worth its name
SAMPLE_SECONDS = 2.0  # sampling of one candidate
LONGEST = 2.0  # the first candidate's life, start included, as a multiple of the time for the search; at least
LEAST_LIFE = 60.0  # this many seconds
LEAST_FOR_ENGINES = 10.0  # seconds of a search that tries engines at all
ENGINE_LIFE = 300.0  # of a candidate that compiles or exports, whose time does not count as the search's

Axes: TypeAlias = tuple[tuple[str, tuple[Any, ...]], ...]
Attempt: TypeAlias = tuple[Settings, Outcome]


@dataclass(frozen=True)
class SettingsSearch:
    """A search for the fastest settings, before it runs.

    base: Key of a candidate, under the settings that the search starts from.
    seconds: For all candidates, the starts of their processes included.
    variables: Environment of a candidate's process.
    """

    base: LatencyKey
    axes: Axes
    code_hash: str
    seconds: float = 20.0
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What is searched for, for a person."""
        model, (height, width) = self.base.model, self.base.size
        words = (model.backbone, str(model.part), model.fusion, f"{height}x{width}", str(self.base.dtype))
        return " ".join(word for word in words if word != "none")

    @property
    def searched(self) -> tuple[str, ...]:
        """The entries of a key that the search decides."""
        names = dict.fromkeys(name for name, _ in self.axes)
        return (*names, *(name for name in EngineKey().to_json() if "engine" in names and name != "engine"))

    def record_key(self) -> dict[str, Any]:
        """Return the key of the search's record."""
        return search_key(self.base, [key.name for key in dict(self.axes).get("engine", ())])

    def is_complete(self, record: Record) -> bool:
        """Return whether the record says which settings were chosen, or that none was."""
        if "kept" not in record.search:
            return False
        chosen, example = record.search["kept"], self.base.settings.to_json()
        if chosen is None:
            return True
        is_like = isinstance(chosen, dict) and chosen.keys() == example.keys() and chosen["preset"] in set(Preset)
        return is_like and all(type(chosen[name]) is type(value) for name, value in example.items())

    @property
    def candidates(self) -> int:
        """How many candidates there are, that at the start included, without those of other engines."""
        return 1 + sum(_alternatives(self.base.settings, tuple(axis for axis in self.axes if axis[0] != "engine")))

    @property
    def engine_candidates(self) -> int:
        """How many candidates of other engines are tried; their time is not part of the search's."""
        of_engines = tuple(axis for axis in self.axes if axis[0] == "engine")
        return sum(_alternatives(self.base.settings, of_engines)) if self.seconds >= LEAST_FOR_ENGINES else 0

    def run(self, sampling: SamplingConfig, plugins: Sequence[Path] = ()) -> Iterator[SearchStep]:
        """Yield a step as each candidate starts; the record is in the last step."""
        return run_search(self, sampling, plugins)

    def with_settings(self, cell: Cell[LatencyKey], record: Record) -> Cell[LatencyKey]:
        """Return ``cell`` under the settings that were chosen, or those at the start where none was."""
        chosen = record.search["kept"]
        settings = Settings.from_json(chosen) if chosen else self.base.settings
        if further := engine_entries(settings.engine.name):
            modules = {**cell.modules, "suite": (*cell.modules["suite"], *further)}
            hashed = hash_of(modules["suite"], modules["backbone"], modules["without"])
            cell = replace(cell, code_hash=hashed, modules=modules)
        return replace(
            cell,
            key=replace(cell.key, settings=settings),
            variables={**self.variables, **settings.variables},
            required_search=None,
            search=record.search,
        )


def search_size(resolutions: Sequence[Size]) -> Size:
    """Return the size at which a sweep over these sizes searches."""
    small = [size for size in resolutions if _pixels(size) <= MOST_PIXELS]
    return max(small, key=_pixels) if small else min(resolutions, key=_pixels)


def _pixels(size: Size) -> int:
    return size[0] * size[1]


def axes(device_type: str, dtype: str, options: tuple[str, ...], tried: tuple[EngineKey, ...] = ()) -> Axes:
    """Return the settings that may help on a device, each with its values, the least certain first.

    options: The arguments of the backbone's factory.  tried: Engines, where there is a choice; they come last, so
        that they are held against the best of eager.
    """
    engine = (("engine", tried),) if len(tried) > 1 else ()
    fused = (("fused", (True, False)),) if "fused" in options else ()
    layout = (("memory_format", ("contiguous", "channels_last")),)
    if device_type == "cuda":
        attention: Axes = (
            ("attention", ("sdpa",)),
            ("sdpa_backend", ("auto", "cudnn", "flash", "efficient", "math")),
        )
        rest = (*fused, *layout, *engine)
        return (("cuda_graph", (False, True)), *(attention if "attention" in options else ()), *rest)
    attention = (("attention", ("sdpa", "chunked")),) if "attention" in options else ()
    matmul = (("matmul", ("highest", "medium")),) if dtype == "float32" and not rounds_products() else ()
    allocator = (("allocator", ("default", "keep")),) if can_keep_memory() else ()
    return (*attention, *fused, *layout, *matmul, *allocator, *engine)


def plan(
    key: LatencyKey,
    resolutions: Sequence[Size],
    options: tuple[str, ...],
    code_hash: str,
    seconds: float,
    names: tuple[str, ...] = (EAGER, COMPILE),
) -> SettingsSearch:
    """Return the search that the settings of a cell wait for.

    key: Of any of its cells, under the settings that the search starts from.
    options: The arguments of the backbone's factory that a preset may set.
    names: The engines that are tried.
    """
    device_type = key.machine.device_type
    base = replace(key, size=search_size(resolutions), with_energy=False)
    tried = axes(device_type, key.dtype, options, tuple(build(name).key(device_type) for name in names))
    variables = {"OMP_NUM_THREADS": str(key.machine.threads)}
    return SettingsSearch(base, tried, code_hash, seconds, variables)


def engines_of(preset: Preset) -> tuple[str, ...]:
    """Return the engines that a preset chooses from: those of PyTorch; for ``deployed`` all that are installed."""
    if preset is not Preset.DEPLOYED:
        return (EAGER, COMPILE)
    installed = [name for name in engines if (candidate := exported(name)) and candidate.is_installed]
    return (EAGER, COMPILE, *installed)


def engine_entries(name: str) -> tuple[str, ...]:
    """Return the modules behind an engine, and those of the export where it loads artifacts; none for eager."""
    if name == EAGER:
        return ()
    return (engines[name].source, REFERENCE, *((*EXPORTING, *portable_modules()) if exported(name) else ()))


def run_search(
    search: SettingsSearch, sampling: SamplingConfig, plugins: Sequence[Path] = ()
) -> Iterator[SearchStep]:
    """Yield the steps of a search, whose candidates run in processes of their own; the last step has the record."""
    config = replace(sampling, cell_seconds=SAMPLE_SECONDS)
    longest = min(sampling.timeout_s, max(LEAST_LIFE, LONGEST * search.seconds))

    def attempt(settings: Settings, left: float | None) -> Outcome:
        key = replace(search.base, settings=settings)
        cell = Cell(key, search.code_hash, {}, {**search.variables, **settings.variables})
        life = min(sampling.timeout_s, ENGINE_LIFE) if settings.engine.name != EAGER else longest
        life = life if left is None else min(life, left)
        outcome = run(SUITE, cell, replace(config, timeout_s=life), sampling.seed, plugins, call="trial")
        if outcome.status is Status.TIMEOUT and left == life:
            return replace(outcome, reason=f"still running when --search-seconds {search.seconds:g} were spent")
        return outcome

    started = datetime.now(UTC).isoformat(timespec="seconds")
    begin = time.monotonic()
    result = yield from explore(search.base.settings, search.axes, attempt, search.seconds)
    seconds = time.monotonic() - begin
    yield SearchStep(len(result.attempts), seconds=seconds, record=to_record(search, result, started, seconds))


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    attempts: All candidates that were tried, in order.  best: The fastest right one, or None.
    untried: Candidates for which there was no time.
    """

    attempts: tuple[Attempt, ...]
    best: Settings | None
    untried: tuple[Settings, ...]


def explore(
    start: Settings,
    along: Axes,
    attempt: Callable[[Settings, float | None], Outcome],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[SearchStep, None, SearchResult]:
    """Go through the axes once, from ``start`` or, where that is not right, from the plain settings.

    Yields a step before each candidate.
    attempt: Returns the outcome of a candidate, and ends it after the seconds that are left, None for the first one;
        its round holds ``samples_ms`` where the status is ok.
    seconds: For all candidates; the first one runs however long it takes.
    """
    begin = clock()
    attempts: list[Attempt] = []
    untried: list[Settings] = []
    for best in dict.fromkeys((start, plain_settings(start))):
        began = clock()
        if attempts and began >= begin + seconds:
            return SearchResult(tuple(attempts), None, (best,))
        yield SearchStep(len(attempts) + 1, _differences(start, best) if attempts else {}, began - begin)
        attempts.append((best, attempt(best, begin + seconds - began if attempts else None)))
        if attempts[-1][1].status is Status.OK:
            break
    else:
        return SearchResult(tuple(attempts), None, ())
    times, needed = attempts[-1][1].round["samples_ms"], clock() - began
    for name, values in along:
        base = best
        for value in values:
            candidate = base.under(value) if name == "engine" else replace(base, **{name: value})
            if any(candidate == tried for tried, _ in attempts):
                continue
            began = clock()
            left = None if name == "engine" else begin + seconds - began
            if seconds < LEAST_FOR_ENGINES if left is None else left < needed:
                untried.append(candidate)
                continue
            yield SearchStep(len(attempts) + 1, _differences(base, candidate), began - begin)
            outcome = attempt(candidate, left)
            attempts.append((candidate, outcome))
            if outcome.status is Status.OK and wins(outcome.round["samples_ms"], times):
                best, times, needed = candidate, outcome.round["samples_ms"], clock() - began
    return SearchResult(tuple(attempts), best, tuple(untried))


def _differences(start: Settings, other: Settings) -> dict[str, Any]:
    """Return the entries of ``other`` that are not those of ``start``."""
    before = start.to_json()
    return {name: value for name, value in other.to_json().items() if value != before[name]}


def _alternatives(settings: Settings, along: Axes) -> Iterator[int]:
    """Yield how many candidates each axis adds to these settings."""
    for name, values in along:
        yield len(values) - (getattr(settings, name) in values)


def wins(samples: list[float], over: list[float]) -> bool:
    """Return whether these ms are less than others by MARGIN, with the medians' intervals apart.

    Of samples that are too few for an interval, all must be less than all others.
    """
    high = (median_interval(samples) or (min(samples), max(samples)))[1]
    low = (median_interval(over) or (min(over), max(over)))[0]
    return high < low and median(samples) < (1 - MARGIN) * median(over)


def plain_settings(start: Settings) -> Settings:
    """Return the preset ``paper`` as a candidate of a search that starts from ``start``."""
    attention = "none" if start.attention == "none" else "naive"
    return Settings(preset=start.preset, impl=start.impl, attention=attention)


def to_record(search: SettingsSearch, result: SearchResult, started: str, seconds: float) -> Record:
    """Return the record of a search: an entry for each candidate in ``rounds``, the rest in ``search``."""
    names = ("attention", *search.searched)
    entries = tuple(
        {
            "settings": _entries(settings, names),
            "status": str(outcome.status),
            "reason": outcome.reason,
            "kept": settings == result.best,
            **outcome.round,
        }
        for settings, outcome in result.attempts
    )
    last = result.attempts[-1][1]
    block = {
        "preset": str(search.base.settings.preset),
        "start": search.base.settings.to_json(),
        "kept": result.best.to_json() if result.best else None,
        "candidates": [{k: v for k, v in entry.items() if k != "samples_ms"} for entry in entries],
        "untried": [_entries(settings, names) for settings in result.untried],
        "height": search.base.size[0],
        "width": search.base.size[1],
        "margin": MARGIN,
        "seconds": seconds,
        "started": started,
        "code_hash": search.code_hash,
    }
    status = Status.OK if result.best else last.status
    reason = "" if result.best else f"no candidate ran and was right; the last gave: {last.reason}"
    environment = next((outcome.environment for _, outcome in result.attempts if outcome.environment), {})
    return Record(
        search.record_key(), status, reason, entries, {}, environment, search.code_hash, last.log, search=block
    )


def _entries(settings: Settings, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in settings.to_json().items() if name in names}
