"""``linbench run`` for suites of accuracy: cell after cell, in this process or in all that torchrun started."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from linbench.cli.progress import progress
from linbench.cli.resuming import lacking
from linbench.records import Record, Status, Store

if TYPE_CHECKING:
    from linbench.suites.accuracy.evaluation import Step
    from linbench.suites.accuracy.ranks import Ranks
    from linbench.suites.accuracy.session import Job
    from linbench.suites.contract import Cell, Choices, Suite

EVERY_SECONDS = 10.0  # between two lines of progress
SHOWN = 2  # metrics in a cell's line


def chosen(choices: "Choices", suite: "Suite", by_hand: Sequence[str]) -> "Choices":
    """The choices for one suite: one of accuracy has a size of its own, and checkpoints that say their models."""
    if suite.task is None:
        return choices
    if "res" not in by_hand:
        choices = replace(choices, resolutions=())
    return replace(choices, backbones=()) if choices.checkpoints and "backbone" not in by_hand else choices


def refuse_shared(built: "Mapping[str, Suite]") -> None:
    """Refuse torchrun for what is measured one process at a time."""
    from linbench.suites.accuracy.ranks import launched

    alone = [name for name, one in built.items() if one.task is None]
    if launched() and alone:
        raise ValueError(f"--suite {alone[0]}: it is measured in processes of its own; run it without torchrun")


def evaluate(
    suite: "Suite",
    cells: "Sequence[Cell]",
    choices: "Choices",
    store: Store,
    ranks: "Ranks",
    job: "Job",
    redo: str | None,
    named: "Callable[[Cell], str]",
) -> None:
    """Evaluate the cells that lack a fresh record; the first process decides, prints and writes.

    named: A cell's name for a person.
    """
    from linbench.suites.accuracy.session import journal_of, steps

    asked = [lacking(cell, store.get(cell.key), 1, redo) for cell in cells]
    wanted = ranks.gathered([missing > 0 for missing, _ in asked])[0]
    if ranks.first:
        _say_kept(cells, [why for _, why in asked], named)
    for cell, todo in zip(cells, wanted, strict=True):
        path = store.path(cell.key)
        if not todo:
            if ranks.first:  # of a process that was killed between the record and its journals
                journal_of(cell, path).clear()
            continue
        if ranks.first and (note := _size_note(cell, choices)):
            typer.echo(f"linbench: {note}", err=True)
        record = _shown(steps(suite, cell, choices, path, ranks, job), store, ranks, named(cell))
        if record and ranks.first:
            typer.echo(f"{named(cell)}: {told(record)}", err=True)


def _size_note(cell: "Cell", choices: "Choices") -> str:
    """Say that a cell's size is not the one that its weights were trained at; empty where it is."""
    from linbench.models.checkpoint import size_note
    from linbench.suites.accuracy.cells import weights_of

    weights = weights_of(cell, choices)
    trained = weights.about.image_size if weights.about else None
    return size_note(str(weights.file), trained, (cell.key["height"], cell.key["width"]))


def _say_kept(cells: "Sequence[Cell]", reasons: Sequence[str], named: "Callable[[Cell], str]") -> None:
    for cell, why in zip(cells, reasons, strict=True):
        if why == "stale":
            typer.echo(f"stale, kept: {named(cell)} (--redo stale measures it again)", err=True)
    if skipped := sum(why in ("done", "stale") for why in reasons):
        typer.echo(f"{skipped} of {len(cells)} cells already have a record", err=True)


def _shown(steps: "Iterator[Step]", store: Store, ranks: "Ranks", name: str) -> Record | None:
    """Take the steps of one cell, showing how far they are; the record is written before the journals go."""
    if not ranks.first:
        for _ in steps:
            pass
        return None
    record = None
    first = next(steps)
    of = "images" if ranks.of == 1 else f"images of the first of {ranks.of} processes"
    with progress(of, first.total) as advance:
        done, last = 0, time.monotonic()
        for step in steps:
            late = time.monotonic() - last >= EVERY_SECONDS
            advance(f"{name}: {step.running}" if late and step.done > done else "", step.done - done)
            done, last = step.done, time.monotonic() if late else last
            if step.record:
                record = step.record
                store.put(record)
    return record


def told(record: Record) -> str:
    """A record in a few words."""
    if record.status is not Status.OK:
        return f"{record.status}, {record.reason}"
    shown = [
        f"{name} {metric['value']:.2f} % ({metric['low']:.2f} to {metric['high']:.2f})"
        for name, metric in list(record.metrics.items())[:SHOWN]
    ]
    return f"{', '.join(shown)}, n = {next(iter(record.metrics.values()))['n']}"
