"""Evaluations in this process, or shared among those that torchrun started: which cells, and their records."""

from collections.abc import Iterator, Sequence
from typing import Any

from linbench.records import Store
from linbench.suites.runner.journal import Journal
from linbench.suites.runner.options import Redo, SuiteOptions
from linbench.suites.runner.ranks import Ranks
from linbench.suites.runner.resuming import Remaining, remaining_rounds
from linbench.suites.runner.suite import Cell, Step, Suite


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
