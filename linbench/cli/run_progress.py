"""What ``linbench run`` prints while it searches, measures and evaluates, on standard error."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import typer

from linbench.cli.progress import progress
from linbench.cli.quiet_progress import GAVE_UP, attempts_text, waiting_text
from linbench.records import Record, Status, Store
from linbench.system.durations import format_ms, format_seconds

if TYPE_CHECKING:
    from linbench.suites import Cell, Suite
    from linbench.suites.runner.options import Redo, SuiteOptions
    from linbench.suites.runner.ranks import Ranks
    from linbench.suites.runner.resuming import Remaining
    from linbench.suites.runner.sampling import SamplingConfig
    from linbench.suites.runner.suite import Search, SearchStep, Step

EVERY_SECONDS = 10.0  # between two lines of progress
METRICS = 2  # in the line of an evaluation


def resolve_best(
    cells: "Sequence[Cell[Any]]",
    store: Store,
    sampling: "SamplingConfig",
    plugins: Sequence[Path],
    redo: "Redo | None",
) -> "list[Cell[Any]]":
    """Run the searches that have no fresh record, and return the cells under the settings that all chose."""
    from linbench.suites.runner.execute import run_searches
    from linbench.suites.runner.resuming import with_settings

    running = ""
    for search, step in run_searches(cells, store, sampling, plugins, redo):
        if not running:
            typer.echo("searches for best: starts of processes count; the first candidate always runs", err=True)
        if search.name != running:
            running = search.name
            typer.echo(f"search {search.name}: {search.candidates} candidates in {search.seconds:g} s", err=True)
        _show_step(search, step)
    return with_settings(cells, store)


def _show_step(search: "Search", step: "SearchStep") -> None:
    """Print what a search tries, or what it chose."""
    from linbench.reports.latency.best_settings import describe_search

    if step.record is not None:
        typer.echo(f"best for {search.name}: {describe_search(step.record.search)}", err=True)
        return
    so_far = f" ({format_seconds(step.seconds)} so far)" if step.number > 1 else ""
    words = _changed_words(step.changed)
    typer.echo(f"  {step.number} of {max(step.number, search.candidates)}: {words}{so_far}", err=True)


def _changed_words(changed: Mapping[str, Any]) -> str:
    """Return what a candidate changes in a few words."""
    from linbench.reports.latency.best_settings import DESCRIPTIONS

    words = (DESCRIPTIONS.get((name, value)) or f"{name} {str(value).lower()}" for name, value in changed.items())
    return ", ".join(words).replace("_", " ") or "the settings to start from"


def measure_rounds(
    name: str,
    suite: "Suite[Any, Any]",
    cells: "Sequence[Cell[Any]]",
    store: Store,
    sampling: "SamplingConfig",
    plugins: Sequence[Path],
    redo: "Redo | None",
) -> None:
    """Measure the rounds that the cells of a suite still need, and write a record after each."""
    from linbench.suites.runner.execute import remaining_of, run_rounds
    from linbench.suites.runner.quiet import GaveUp, Repeat, Waiting
    from linbench.suites.runner.rounds import RoundStart

    remaining = remaining_of(cells, store, sampling.rounds, redo)
    _print_kept(suite, cells, remaining)
    current = ""
    with progress("rounds", sum(state.rounds for state in remaining)) as advance:
        for event in run_rounds(name, cells, store, sampling, plugins, redo):
            if isinstance(event, Waiting):
                advance.countdown(waiting_text(event))
            elif isinstance(event, GaveUp):
                advance(GAVE_UP, 0)
            elif isinstance(event, Repeat):
                advance.now(f"{current}, attempt {event.attempt}, as it was {event.because}")
            elif isinstance(event, RoundStart):
                current = f"{suite.cell_name(event.cell)}: round {event.number + 1} of {sampling.rounds}"
                advance.now(current)
            else:
                advance(f"{suite.cell_name(event.cell)}: {round_text(event.record)}", event.rounds)


def round_text(record: Record) -> str:
    """Return the last round of a record in a few words."""
    if record.status is not Status.OK:
        return f"{record.status}, {record.reason}"
    last: Mapping[str, Any] = record.rounds[-1]
    samples = last["samples_ms"]
    mark = "" if last["converged"] else ", not converged"
    return f"{_result_text(record, last)} (round {len(record.rounds)}, n = {len(samples)}{mark}){attempts_text(last)}"


def _result_text(record: Record, entry: Mapping[str, Any]) -> str:
    """Return the result of a round: its median, of a throughput as images/s with the batch that it chose."""
    from linbench.reports.latency.rows import significant

    middle = median(entry["samples_ms"])
    if record.key.get("mode") == "throughput":
        return f"{significant(1e3 / middle)} images/s at batch {entry['batch']}"
    return format_ms(middle)


def evaluate(
    suite: "Suite[Any, Any]",
    cells: "Sequence[Cell[Any]]",
    options: "SuiteOptions",
    store: Store,
    ranks: "Ranks",
    redo: "Redo | None",
) -> None:
    """Evaluate the cells that have no fresh record; the first process prints and writes."""
    from linbench.suites.runner.resuming import evaluate_cell, remaining_evaluations

    remaining = remaining_evaluations(cells, store, ranks, redo)
    if ranks.is_first:
        _print_kept(suite, cells, remaining)
    for cell, state in zip(cells, remaining, strict=True):
        if not state.rounds:
            continue
        steps = evaluate_cell(suite, cell, options, store, ranks)
        if not ranks.is_first:
            for _ in steps:
                pass
            continue
        name = suite.cell_name(cell)
        record = _show_steps(steps, ranks, name)
        if record:
            typer.echo(f"{name}: {_metrics_text(record)}", err=True)


def _show_steps(steps: "Iterator[Step]", ranks: "Ranks", name: str) -> Record | None:
    """Take the steps of one evaluation, print their progress, and return the record."""
    record = None
    first = next(steps)
    if first.note:
        typer.echo(f"linbench: {first.note}", err=True)
    unit = "images" if ranks.world_size == 1 else f"images of the first of {ranks.world_size} processes"
    with progress(unit, first.total) as advance:
        done, last = 0, time.monotonic()
        for step in steps:
            is_late = time.monotonic() - last >= EVERY_SECONDS
            advance(f"{name}: {step.running}" if is_late and step.done > done else "", step.done - done)
            done, last = step.done, time.monotonic() if is_late else last
            record = step.record or record
    return record


def _metrics_text(record: Record) -> str:
    """Return a record of an evaluation in a few words."""
    if record.status is not Status.OK:
        return f"{record.status}, {record.reason}"
    metrics = [
        f"{name} {metric['value']:.2f} % ({metric['low']:.2f} to {metric['high']:.2f})"
        for name, metric in list(record.metrics.items())[:METRICS]
    ]
    return f"{', '.join(metrics)}, n = {next(iter(record.metrics.values()))['n']}"


def _print_kept(suite: "Suite[Any, Any]", cells: "Sequence[Cell[Any]]", remaining: "Sequence[Remaining]") -> None:
    """Name the stale records that stay, and count the cells that need nothing."""
    for cell, state in zip(cells, remaining, strict=True):
        if state.reason == "stale":
            typer.echo(f"stale, kept: {suite.cell_name(cell)} (--redo stale measures it again)", err=True)
    if skipped := sum(not state.rounds and state.reason != "unsupported" for state in remaining):
        typer.echo(f"{skipped} of {len(cells)} cells already have a record", err=True)
