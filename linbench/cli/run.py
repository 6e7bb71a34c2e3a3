"""``linbench run``: measure cells, write a record for each, print the table."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from textwrap import fill
from typing import TYPE_CHECKING, Any

import typer

from linbench.cli.quiet_progress import DISTURBED_EXIT, await_quiet, warn_of_disturbed
from linbench.cli.refusal import explain_threads, load_plugins, refuse, refusing
from linbench.cli.run_options import Request, parse
from linbench.cli.run_progress import evaluate, measure_rounds, resolve_best
from linbench.records import Status, Store

if TYPE_CHECKING:
    from linbench.suites import Cell
    from linbench.suites.runner.sampling import SamplingConfig
    from linbench.suites.runner.shards import Shard

SUMMARY = """Measure cells and write a record for each.

Each suite has its own options: `linbench run --suite latency --help` lists those of latency. Each round of each cell
runs in a fresh process; a cell that has a fresh record is skipped. Accuracy suites run in this process, or share
their images among those that torchrun started.
"""
WIDTH = 80  # columns of a terminal
ESTIMATED = 4  # rounds: fewer are soon over, and an estimate takes as long as one
CONDITIONS = ("device_type", "attention", "threads")  # columns of a plan beside what names a cell


def run(context: typer.Context) -> None:
    """Measure cells and write a record for each."""
    request = parse(context.args, SUMMARY)
    if request.run.print_config:
        typer.echo(request.config)
        return
    from linbench.backbones import backbone

    load_plugins([], backbone)
    with refusing():
        _refuse_shared(request)
        planned = [
            (name, cell) for name, suite in request.suites.items() for cell in suite.cells(request.options[name])
        ]
    if request.run.shard:
        planned = _of_shard(planned, request.run.shard)
    explain_threads(next((getattr(options, "threads", None) for options in request.options.values()), None))
    store = Store(request.run.results)
    if request.run.dry_run:
        _print_plan(request, planned, store)
        return
    from linbench.suites.runner.estimate import estimate
    from linbench.suites.runner.ranks import joined_ranks

    with joined_ranks() as ranks, _writing(store) if ranks.is_first else nullcontext():
        sampling, plugins, redo = sampling_of(request), request.run.plugins, request.run.redo
        timed = [cell for name, cell in planned if request.suites[name].evaluate is None]
        await_quiet(timed, store, sampling, redo)
        if ranks.is_first and (expected := estimate(request.suites, planned, store, sampling, redo, ESTIMATED)):
            typer.echo(str(expected), err=True)
        resolved = resolve_best([cell for _, cell in planned], store, sampling, plugins, redo)
        planned = list(zip((name for name, _ in planned), resolved, strict=True))
        for name, suite in request.suites.items():
            cells = [cell for owner, cell in planned if owner == name]
            if suite.evaluate is None:
                measure_rounds(name, suite, cells, store, sampling, plugins, redo)
            else:
                evaluate(suite, cells, request.options[name], store, ranks, redo)
    if ranks.is_first:
        _report(request, [cell for _, cell in planned], store)


def _of_shard(planned: "list[tuple[str, Cell[Any]]]", shard: "Shard") -> "list[tuple[str, Cell[Any]]]":
    """Return the cells of a shard, and say how many they are."""
    from linbench.suites.runner.shards import cells_of_shard

    chosen = cells_of_shard(planned, shard)
    if os.environ.get("RANK", "0") == "0":  # of those that torchrun started, the first speaks
        typer.echo(f"shard {shard}: {len(chosen)} of {len(planned)} cells", err=True)
    return chosen


def sampling_of(request: Request) -> "SamplingConfig":
    """Return how the cells of a request are sampled."""
    from linbench.suites.runner.sampling import SamplingConfig

    run = request.run
    return SamplingConfig(run.rounds, run.cell_seconds, run.timeout, run.seed, run.wait)


def _refuse_shared(request: Request) -> None:
    """Refuse torchrun for what is measured one process at a time."""
    from linbench.suites.runner.ranks import is_launched

    timed = [name for name, suite in request.suites.items() if suite.evaluate is None]
    if is_launched() and timed:
        raise ValueError(f"--suite {timed[0]}: it is measured in processes of its own; run it without torchrun")


def _report(request: Request, cells: "Sequence[Cell[Any]]", store: Store) -> None:
    """Print the tables of the records and write the files.

    Exit code 1 where a cell is not ok, 3 where all are and some were disturbed.
    """
    from linbench.cli.report import print_tables, write_files
    from linbench.cli.run_summary import print_summary

    records = [record for cell in cells if (record := store.get(cell.key.to_json()))]
    print_tables(records, request.run.as_json)
    paths = write_files(store, request.run.results)
    if not request.run.as_json:
        print_summary(records, paths, request.run.results)
    has_disturbed = warn_of_disturbed(records)
    if any(record.status is not Status.OK for record in records):
        raise typer.Exit(1)
    if has_disturbed:
        raise typer.Exit(DISTURBED_EXIT)


def _print_plan(request: Request, planned: "Sequence[tuple[str, Cell[Any]]]", store: Store) -> None:
    """Print the cells, why each is measured or not, and what that costs."""
    from linbench.suites.runner.estimate import estimate
    from linbench.suites.runner.resuming import remaining_rounds, required_searches, with_settings

    run, names = request.run, [name for name, _ in planned]
    cells = with_settings([cell for _, cell in planned], store, run.redo)
    rows = []
    for name, cell in zip(names, cells, strict=True):
        key, search = cell.key.to_json(), cell.required_search
        rounds = run.rounds if request.suites[name].evaluate is None else 1
        state = remaining_rounds(cell, None if search else store.get(key), rounds, run.redo)
        unknown = dict.fromkeys(search.searched, "searched") if search else {}
        path = None if search else str(store.path(key))
        rows.append({**key, **unknown, "rounds_to_measure": state.rounds, "because": state.reason, "path": path})
    if run.as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    _print_table(request, names, rows)
    for required in required_searches(cells):
        words = f"search first: {required.name}, over {', '.join(required.searched)}"
        typer.echo(fill(words, WIDTH, subsequent_indent="    "))
    left = sum(row["rounds_to_measure"] > 0 for row in rows)
    typer.echo(f"{len(rows)} {'cell' if len(rows) == 1 else 'cells'}, {left} to measure")
    resolved = list(zip(names, cells, strict=True))
    if expected := estimate(request.suites, resolved, store, sampling_of(request), run.redo):
        typer.echo(str(expected))


def _print_table(request: Request, names: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Print a line for each cell; what all cells have in common stands above, so that the table stays narrow."""
    from linbench.suites.runner.suite import entry_text

    columns = dict.fromkeys(column for name in names for column in (*request.suites[name].named_by, *CONDITIONS))
    texts = {column: [entry_text(row, column) for row in rows] for column in columns}
    common = {column: values[0] for column, values in texts.items() if len(set(values)) == 1}
    if common:
        words = ", ".join(f"{column} {value}" for column, value in common.items() if value)
        head = "all: " if len(rows) > 1 else "cell: "
        typer.echo(fill(head + words, WIDTH, subsequent_indent=" " * len(head)) + "\n")
    shown = {column: values for column, values in texts.items() if column not in common}
    if "preset" in shown:
        shown.pop("attention", None)  # it follows from the preset and the backbone
        if set(shown.get("engine", ())) <= {"", "searched"}:
            shown.pop("engine", None)  # eager, or among what a search chooses
    shown |= {"rounds": [str(row["rounds_to_measure"]) for row in rows], "because": [row["because"] for row in rows]}
    widths = [max(map(len, (column, *values))) for column, values in shown.items()]
    lines = [tuple(shown), tuple("-" * width for width in widths), *zip(*shown.values(), strict=True)]
    for line in lines:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    typer.echo()


@contextmanager
def _writing(store: Store) -> Iterator[None]:
    """Hold the folder for this run; refuses a folder that is in use or cannot be written."""
    try:
        with store.writing():
            yield
    except KeyboardInterrupt:
        typer.echo(
            "\nlinbench: stopped; the records so far are kept, and the same command goes on from there", err=True
        )
        raise typer.Exit(130) from None
    except BlockingIOError:
        refuse(f"--results {store.root}: another linbench run is writing there; wait for it or name another folder")
    except OSError as error:
        refuse(f"--results {store.root}: it cannot be written ({error.strerror or error}); name another folder")
