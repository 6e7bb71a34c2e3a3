"""Searches and rounds of timed cells, stored as they come: what ``linbench run`` and ``linbench.measure`` both do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from linbench.records import Record, Status, Store
from linbench.suites.runner.options import Redo
from linbench.suites.runner.quiet import GaveUp, Repeat, Waiting
from linbench.suites.runner.resuming import Remaining, remaining_rounds, required_searches, search_record
from linbench.suites.runner.rounds import RoundEnd, RoundStart, sweep, with_outcome
from linbench.suites.runner.sampling import SamplingConfig
from linbench.suites.runner.suite import Cell, Outcome, Search, SearchStep


@dataclass(frozen=True)
class Stored:
    """A record that a round led to. rounds: How many of the cell's rounds are over with it; all, where it failed."""

    cell: Cell[Any]
    record: Record
    rounds: int


#: What happens while rounds are measured, in order.
Event: TypeAlias = RoundStart | Waiting | Repeat | GaveUp | Stored


def run_searches(
    cells: Sequence[Cell[Any]],
    store: Store,
    sampling: SamplingConfig,
    plugins: Sequence[Path] = (),
    redo: Redo | None = None,
) -> Iterator[tuple[Search, SearchStep]]:
    """Run the searches that have no fresh record; yield each with its steps, of which the last one's is stored."""
    for search in required_searches(cells):
        if search_record(search, store, redo) is not None:
            continue
        for step in search.run(sampling, plugins):
            if step.record is not None:
                store.put(step.record)
            yield search, step


def remaining_of(cells: Sequence[Cell[Any]], store: Store, rounds: int, redo: Redo | None = None) -> list[Remaining]:
    """Return what of each cell remains to be measured."""
    return [remaining_rounds(cell, store.get(cell.key.to_json()), rounds, redo) for cell in cells]


def run_rounds(
    suite: str,
    cells: Sequence[Cell[Any]],
    store: Store,
    sampling: SamplingConfig,
    plugins: Sequence[Path] = (),
    redo: Redo | None = None,
) -> Iterator[Event]:
    """Measure the rounds that the cells of a suite still need; a record is stored after each.

    A cell that its model does not take gets its record first, without a process.
    """
    yield from _store_unsupported(cells, store)
    remaining = remaining_of(cells, store, sampling.rounds, redo)
    records = [
        store.get(cell.key.to_json()) if state.reason == "more rounds" else None
        for cell, state in zip(cells, remaining, strict=True)
    ]
    done = {i: sampling.rounds - state.rounds for i, state in enumerate(remaining)}
    index_of = {id(cell): i for i, cell in enumerate(cells)}
    for event in sweep(suite, cells, done, sampling, plugins):
        if not isinstance(event, RoundEnd):
            yield event
            continue
        i = index_of[id(event.cell)]
        records[i] = record = with_outcome(records[i], event.cell, event.outcome)
        store.put(record)
        yield Stored(event.cell, record, 1 if record.status is Status.OK else sampling.rounds - done[i])
        done[i] += 1


def _store_unsupported(cells: Sequence[Cell[Any]], store: Store) -> Iterator[Stored]:
    """Store a record for each cell that its model does not take; one with rounds, of other code, is kept."""
    for cell in cells:
        before = store.get(cell.key.to_json()) if cell.unsupported else None
        if cell.unsupported and (before is None or before.status is Status.UNSUPPORTED):
            record = with_outcome(None, cell, Outcome(Status.UNSUPPORTED, cell.unsupported))
            store.put(record)
            yield Stored(cell, record, 0)
