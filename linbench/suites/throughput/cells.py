"""The cells of the suite ``throughput``: those of ``latency``, searches for ``best`` included, under another key."""

from dataclasses import fields, replace
from typing import Any

from linbench.engines.contract import exported
from linbench.provenance import code_hash
from linbench.suites.latency.cells import cells as latency_cells
from linbench.suites.latency.cells import work as latency_work
from linbench.suites.latency.key import LatencyKey
from linbench.suites.latency.search import engine_entries
from linbench.suites.runner import rounds
from linbench.suites.runner.suite import Cell, Work
from linbench.suites.throughput.doubling import SEARCHING, WINDOW_S, WINDOWS
from linbench.suites.throughput.key import ThroughputKey
from linbench.suites.throughput.options import ThroughputOptions

ENTRIES = (
    *("linbench.suites.throughput.measure", "linbench.suites.latency.settings", "linbench.engines.eager"),
    *rounds.ENTRIES,
)


EXPORTED = ("linbench.suites.throughput.exported",)  # for engines that load artifacts


def cells(options: ThroughputOptions) -> list[Cell[ThroughputKey]]:
    """Plan every backbone × part × size × dtype × preset; raises UnknownName and ValueError that teach."""
    return [_of_latency(cell) for cell in latency_cells(options.forwards())]


def work(key: LatencyKey) -> Work:
    """Return the work of a round: that of a latency, and the windows of the batches that are tried.

    key: Of a throughput, or of the latency that the search for its settings starts from.
    """
    forward = LatencyKey(**{field.name: getattr(key, field.name) for field in fields(LatencyKey)})
    return replace(latency_work(forward), window_s=WINDOW_S, search=SEARCHING, windows=WINDOWS)


def _of_latency(cell: Cell[Any]) -> Cell[ThroughputKey]:
    engine = cell.key.settings.engine.name
    further = engine_entries(engine)
    modules = {**cell.modules, "suite": (*ENTRIES, *further, *EXPORTED[: bool(exported(engine))])}
    hashed = code_hash(modules["suite"], modules["backbone"], modules["without"])
    return replace(cell, key=ThroughputKey.of(cell.key), code_hash=hashed, modules=modules)
