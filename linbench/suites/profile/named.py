"""Profile a registered name as ``latency`` measures it: the same cell, settings and model, in a fresh process."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from linbench.engines.contract import COMPILE, EAGER
from linbench.records import Record, Store
from linbench.suites.latency.cells import cells
from linbench.suites.latency.key import LatencyKey
from linbench.suites.latency.options import LatencyOptions
from linbench.suites.profile.measure import NotProfiled
from linbench.suites.profile.result import Profile
from linbench.suites.runner.resolutions import Size
from linbench.suites.runner.resuming import search_record
from linbench.suites.runner.sampling import SamplingConfig
from linbench.suites.runner.suite import Cell, Search
from linbench.system.affinity import unbound

#: Options of ``latency`` that list values, by the name of a single one.
SINGLE = {
    "part": "parts",
    "fusion": "fusions",
    "preset": "presets",
    "engine": "engines",
    "dtype": "dtypes",
    "batch": "batches",
}
FIXED = ("backbones", "resolutions", "energy", "compile", "search_seconds", *SINGLE.values())
QUIET = {"KINETO_LOG_LEVEL": "6"}  # the profiler's library prints two lines at each start


def setting_names() -> tuple[str, ...]:
    """Return the names of the settings that ``plan`` takes."""
    return (*SINGLE, *(field.name for field in fields(LatencyOptions) if field.name not in FIXED))


def plan(name: str, size: Size, **settings: Any) -> Cell[LatencyKey]:
    """Return the cell of ``latency`` that is profiled; the preset is ``paper`` unless named.

    settings: Options of ``latency``; ``part``, ``fusion``, ``preset`` and ``dtype`` are single.
    Raises UnknownName and ValueError that teach.
    """
    for setting in settings:
        if setting not in setting_names():
            near = get_close_matches(setting, setting_names(), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ValueError(f"{setting}: no such setting; {hint}there are {', '.join(setting_names())}")
    given = {k: v for k, v in ({"preset": "paper"} | settings).items() if v is not None}
    options: dict[str, Any] = {SINGLE.get(k, k): (v,) if k in SINGLE else v for k, v in given.items()}
    (cell,) = cells(LatencyOptions(backbones=(name,), resolutions=(size,), **options))
    return cell


def is_searched(cell: Cell[LatencyKey], results: Path) -> bool:
    """Return whether a search must still choose the cell's settings: none is stored under ``results``."""
    return cell.required_search is not None and search_record(cell.required_search, Store(results)) is None


def settle(cell: Cell[LatencyKey], results: Path, seed: int, plugins: Sequence[Path] = ()) -> Cell[LatencyKey]:
    """Return the cell under the settings of the stored search, or of one that runs now.

    Raises ValueError for settings under which no module runs by itself.
    """
    if search := cell.required_search:
        record = search_record(search, Store(results)) or _search(search, seed, plugins)
        cell = search.with_settings(cell, record)
    settings = cell.key.settings
    other = "compile=true" if settings.engine.name == COMPILE else f"engine={settings.engine.name}"
    names = {other: settings.engine.name != EAGER, "cuda_graph=true": settings.cuda_graph}
    for name in (name for name, is_set in names.items() if is_set):
        raise ValueError(
            f"--setting {name} (preset {settings.preset}): modules do not run one by one under it; "
            "profile --preset paper, or leave it out"
        )
    return cell


def _search(search: Search, seed: int, plugins: Sequence[Path]) -> Record:
    """Run a search to its end and return its record, which is not stored."""
    *_, last = search.run(SamplingConfig(seed=seed), plugins)
    assert last.record is not None
    return last.record


def profile_cell(cell: Cell[LatencyKey], seconds: float, seed: int, plugins: Sequence[Path] = ()) -> Profile:
    """Profile a settled cell in a fresh process; raises NotProfiled for whatever happens in there."""
    request = {
        "key": cell.key.to_json(),
        "seconds": seconds,
        "seed": seed,
        "plugins": [str(Path(path).resolve()) for path in plugins],
    }
    process = _start(cell.variables)
    try:
        answer, log = process.communicate(json.dumps(request))
    except BaseException:
        process.kill()
        process.wait()
        raise
    return _parse(answer, process.returncode, log)


def _start(variables: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start the process of a profile, with the variables of its cell and none of the allocator's from outside."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    with unbound():
        return subprocess.Popen(
            [sys.executable, "-m", "linbench.suites.profile.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=inherited | QUIET | dict(variables),
        )


def _parse(answer: str, code: int, log: str) -> Profile:
    """Return the profile that a process printed; raises NotProfiled."""
    if code < 0:
        raise NotProfiled(f"its process was ended by {signal.Signals(-code).name}; it may have run out of memory")
    if code or not answer:
        last = (log.strip().splitlines() or ["no message"])[-1]
        raise NotProfiled(f"its process ended with exit code {code}: {last}")
    entries = json.loads(answer)
    if "reason" in entries:
        raise NotProfiled(entries["reason"])
    return Profile.from_json(entries)
