"""Searches and rounds of timed cells, with a record after each: what ``linbench run`` and ``linbench.measure`` do."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from linbench.records import Record, Store
from linbench.suites.runner.options import Redo
from linbench.suites.runner.resuming import remaining_rounds, required_searches, search_record, with_settings
from linbench.suites.runner.rounds import sweep, with_outcome
from linbench.suites.runner.sampling import SamplingConfig
from linbench.suites.runner.suite import Cell


def resolve(
    cells: Sequence[Cell[Any]],
    store: Store,
    sampling: SamplingConfig,
    plugins: Sequence[Path] = (),
    redo: Redo | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Cell[Any]]:
    """Run the searches that have no fresh record, and return the cells under the settings that all chose."""
    for search in required_searches(cells):
        if search_record(search, store, redo) is None:
            tell(f"search {search.name}")
            store.put(search.run(sampling, plugins))
    return with_settings(cells, store)


def execute(
    name: str,
    cells: Sequence[Cell[Any]],
    store: Store,
    sampling: SamplingConfig,
    plugins: Sequence[Path] = (),
    redo: Redo | None = None,
) -> Iterator[tuple[Cell[Any], Record]]:
    """Measure the rounds that the cells of a suite still need; yield each with its record, which is stored already."""
    before = [store.get(cell.key.to_json()) for cell in cells]
    remaining = [
        remaining_rounds(cell, record, sampling.rounds, redo) for cell, record in zip(cells, before, strict=True)
    ]
    records = {
        i: record if state.reason == "more rounds" else None
        for i, (record, state) in enumerate(zip(before, remaining, strict=True))
    }
    index_of = {id(cell): i for i, cell in enumerate(cells)}
    done = {i: sampling.rounds - state.rounds for i, state in enumerate(remaining)}
    for cell, outcome in sweep(name, cells, done, sampling, plugins):
        i = index_of[id(cell)]
        records[i] = record = with_outcome(records[i], cell, outcome)
        store.put(record)
        yield cell, record
