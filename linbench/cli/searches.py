"""What ``linbench run`` does for the preset ``best`` before it measures: the searches that its cells wait for."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from linbench.records import Record, Status, Store

if TYPE_CHECKING:
    from linbench.suites import Cell
    from linbench.suites.rounds import Pace
    from linbench.suites.search import Search


def settle(
    cells: "Sequence[Cell]", store: Store, pace: "Pace", seconds: float, plugins: Sequence[Path], redo: str | None
) -> "list[Cell]":
    """The cells under what their searches found; a search that has no fresh record in ``store`` is made first."""
    from linbench.reports.latency.best_settings import describe_search
    from linbench.suites.search import make, pending

    for search in pending(cells):
        if _found(search, store, redo) is None:
            typer.echo(f"search {search.name}: at most {seconds:g} s and one candidate", err=True)
            record = make(search, pace, seconds, plugins)
            store.put(record)
            typer.echo(f"best for {search.name}: {describe_search(record.search)}", err=True)
    return known(cells, store)


def known(cells: "Sequence[Cell]", store: Store, redo: str | None = None) -> "list[Cell]":
    """The cells, those whose search has a fresh record in ``store`` under what it found."""
    from linbench.suites.search import settled

    found = []
    for cell in cells:
        record = _found(cell.pending, store, redo) if cell.pending else None
        found.append(settled(cell, record) if record else cell)
    return found


def _found(search: "Search", store: Store, redo: str | None) -> Record | None:
    """The record of a search that stands: by the present code, and not asked for again."""
    from linbench.suites.search import stored

    record = stored(search, store)
    if record is None or redo == "all" or (redo == "failed" and record.status is not Status.OK):
        return None
    return record
