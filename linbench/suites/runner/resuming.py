"""What of a plan remains to be measured or evaluated: fresh records are kept, and searches run once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from linbench.records import Record, Status, Store, preference
from linbench.suites.runner.journal import Journal
from linbench.suites.runner.options import Redo, SuiteOptions
from linbench.suites.runner.ranks import Ranks
from linbench.suites.runner.suite import Cell, Search, Step, Suite


@dataclass(frozen=True)
class Remaining:
    """How many rounds a cell still needs.

    reason: ``new``, ``more rounds``, ``redo``, ``stale``, ``done`` or ``unsupported``.
    """

    rounds: int
    reason: str


def remaining_rounds(cell: Cell[Any], record: Record | None, rounds: int, redo: Redo | None) -> Remaining:
    """Return how many of ``rounds`` a cell with this record still needs, and why."""
    if cell.unsupported:
        return Remaining(0, "unsupported")
    if record is None:
        return Remaining(rounds, "new")
    is_stale = record.code_hash != cell.code_hash
    has_failed = record.status is not Status.OK
    chosen = {
        Redo.ALL: True,
        Redo.STALE: is_stale,
        Redo.FAILED: has_failed,
        Redo.DISTURBED: not has_failed and not preference(record).is_undisturbed,
    }
    if redo and chosen[redo]:
        return Remaining(rounds, "redo")
    if is_stale:
        return Remaining(0, "stale")
    if has_failed or len(record.rounds) >= rounds:
        return Remaining(0, "done")
    return Remaining(rounds - len(record.rounds), "more rounds")


def required_searches(cells: Iterable[Cell[Any]]) -> list[Search]:
    """Return the searches that cells wait for, each once."""
    searches = (cell.required_search for cell in cells if cell.required_search)
    return list({str(search.record_key()): search for search in searches}.values())


def search_record(search: Search, store: Store, redo: Redo | None = None) -> Record | None:
    """Return the record of a search where the present code made it whole and it is not to be made again."""
    record = store.get(search.record_key())
    if record is None or record.code_hash != search.code_hash or redo is Redo.ALL or not search.is_complete(record):
        return None
    return None if redo is Redo.FAILED and record.status is not Status.OK else record


def with_settings(cells: Sequence[Cell[Any]], store: Store, redo: Redo | None = None) -> list[Cell[Any]]:
    """Return the cells, those whose search has a record in ``store`` under the settings that it chose."""
    resolved = []
    for cell in cells:
        record = search_record(cell.required_search, store, redo) if cell.required_search else None
        resolved.append(cell.required_search.with_settings(cell, record) if cell.required_search and record else cell)
    return resolved


def remaining_evaluations(
    cells: Sequence[Cell[Any]], store: Store, ranks: Ranks, redo: Redo | None
) -> list[Remaining]:
    """Return what of each cell remains, as the first process sees it, and clear the journals of done cells.

    A process that was killed between its record and its journals left those.
    """
    remaining = [remaining_rounds(cell, store.get(cell.key.to_json()), 1, redo) for cell in cells]
    agreed = ranks.all_gather(remaining)[0]
    for cell, state in zip(cells, agreed, strict=True):
        if not state.rounds and ranks.is_first:
            Journal(store.path(cell.key.to_json()), {}).clear()
    return agreed


def evaluate_cell(
    suite: Suite[Any, Any], cell: Cell[Any], options: SuiteOptions, store: Store, ranks: Ranks
) -> Iterator[Step]:
    """Yield the steps of one evaluation; its record is written before its journals are cleared."""
    assert suite.evaluate is not None
    for step in suite.evaluate(cell, options, store.path(cell.key.to_json()), ranks):
        if step.record:
            store.put(step.record)
        yield step
