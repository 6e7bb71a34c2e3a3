"""``linbench run``: measure cells, write a record for each, print the table."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linbench.cli.refusal import choice, load_plugins, refuse, refusing, split
from linbench.records import Record, Status, Store

if TYPE_CHECKING:
    from linbench.suites import Cell
    from linbench.suites.rounds import Pace

SMALL = "vit-t,vim-t,vmamba-t,vrwkv-t,rwkv-sam-t"
REDO = ("stale", "failed", "all")


def run(
    suite: Annotated[str, typer.Option(help="Suites, by comma.")] = "latency",
    res: Annotated[str, typer.Option(help="512..2048 doubles, 512..2048:256 steps, 768x1024, lists.")] = "512..2048",
    backbone: Annotated[str, typer.Option(help="Backbones, by comma; `linbench list` shows all.")] = SMALL,
    preset: Annotated[str, typer.Option(help="Columns: paper, best, or both by comma.")] = "paper,best",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16, by comma.")] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    impl: Annotated[str | None, typer.Option(help="reference, fast or vendor, instead of the preset's.")] = None,
    attention: Annotated[str | None, typer.Option(help="naive or sdpa, instead of the preset's.")] = None,
    compile_: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="torch.compile, instead of the preset's.")
    ] = None,
    option: Annotated[list[str] | None, typer.Option(help="A backbone's own option, NAME=VALUE; repeatable.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; default all cores of this process.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Fresh processes per cell; 3 or more give an interval.")] = 3,
    cell_seconds: Annotated[float, typer.Option(min=0.0, help="Sampling budget of one round of a cell.")] = 20.0,
    timeout: Annotated[float, typer.Option(min=1.0, help="Longest life of one process, in seconds.")] = 900.0,
    seed: Annotated[int, typer.Option(help="Of the order of cells and of the weights.")] = 0,
    results: Annotated[Path, typer.Option(help="Folder of records.")] = Path("results"),
    plugin: Annotated[list[Path] | None, typer.Option(help="A Python file that registers backbones.")] = None,
    redo: Annotated[str | None, typer.Option(help="Measure again: stale, failed or all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cells; measure nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure cells and write a record for each.

    Each round of each cell runs in a fresh process; a cell that has a fresh record is skipped.
    """
    from linbench.suites import Choices
    from linbench.suites import suite as suites
    from linbench.suites.resolutions import resolutions
    from linbench.suites.rounds import Pace

    if redo is not None:
        choice("--redo", redo, REDO)
    plugins = [path.resolve() for path in plugin or []]
    from linbench.backbones import backbone as backbones

    load_plugins(plugins, backbones, suites)
    given = {
        "impl": impl and choice("--impl", impl, ("reference", "fast", "vendor")),
        "attention": attention and choice("--attention", attention, ("naive", "sdpa")),
        "compile": compile_,
    }
    for name in split(preset):
        choice("--preset", name, ("paper", "best"))
    for name in split(dtype):
        choice("--dtype", name, ("float32", "bfloat16", "float16"))
    with refusing():
        choices = Choices(
            backbones=tuple(dict.fromkeys(split(backbone))) or refuse("--backbone is empty"),
            resolutions=tuple(resolutions(res)),
            dtypes=tuple(split(dtype)),
            presets=tuple(split(preset)),
            device=device,
            threads=threads,
            given=given,
            options=_options(option or []),
        )
        planned = [(name, cell) for name in split(suite) for cell in suites[name].build().cells(choices)]
    store = Store(results)
    pace = Pace(rounds=rounds, cell_seconds=cell_seconds, timeout_s=timeout, seed=seed)
    if dry_run:
        _print_plan([cell for _, cell in planned], store, pace, redo, as_json)
        return
    with _writing(store):
        for name in split(suite):
            _measure(name, [cell for of, cell in planned if of == name], store, pace, plugins, redo)
    from linbench.cli.report import print_tables, write_files

    records = [record for _, cell in planned if (record := store.get(cell.key))]
    print_tables(records, as_json)
    write_files(list(store), results)
    if any(record.status is not Status.OK for record in records):
        raise typer.Exit(1)


def _options(texts: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` pairs; a value is read as JSON where it is that, and as text otherwise."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            refuse(f"--option {text}: write NAME=VALUE, as position_embedding=true")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found


def lacking(cell: "Cell", record: Record | None, rounds: int, redo: str | None) -> tuple[int, str]:
    """How many rounds ``cell`` lacks, and in one word why: new, more rounds, redo, stale, done."""
    if record is None:
        return rounds, "new"
    stale = record.code_hash != cell.code_hash
    if redo == "all" or (redo == "stale" and stale) or (redo == "failed" and record.status is not Status.OK):
        return rounds, "redo"
    if stale:
        return 0, "stale"
    if record.status is not Status.OK or len(record.rounds) >= rounds:
        return 0, "done"
    return rounds - len(record.rounds), "more rounds"


def _print_plan(cells: "Sequence[Cell]", store: Store, pace: "Pace", redo: str | None, as_json: bool) -> None:
    rows = []
    for cell in cells:
        missing, why = lacking(cell, store.get(cell.key), pace.rounds, redo)
        rows.append({**cell.key, "rounds_to_measure": missing, "because": why, "path": str(store.path(cell.key))})
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    from tabulate import tabulate

    shown = ("backbone", "height", "width", "dtype", "preset", "device_type", "attention", "threads")
    table = [[row[name] for name in (*shown, "rounds_to_measure", "because")] for row in rows]
    typer.echo(tabulate(table, headers=[*shown, "rounds", "because"]))
    seconds = sum(row["rounds_to_measure"] for row in rows) * pace.cell_seconds
    typer.echo(f"{len(rows)} cells, about {seconds / 60:.0f} min of sampling and a few seconds of start per round")


@contextmanager
def _writing(store: Store) -> Iterator[None]:
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


def _measure(
    suite: str, cells: "Sequence[Cell]", store: Store, pace: "Pace", plugins: Sequence[Path], redo: str | None
) -> None:
    from linbench.suites.rounds import merged, sweep

    records: dict[int, Record | None] = {}
    done: dict[int, int] = {}
    for i, cell in enumerate(cells):
        record = store.get(cell.key)
        missing, why = lacking(cell, record, pace.rounds, redo)
        records[i] = record if why == "more rounds" else None
        done[i] = pace.rounds - missing
        if why == "stale":
            typer.echo(f"stale, kept: {_name(cell)} (--redo stale measures it again)", err=True)
    position = {id(cell): i for i, cell in enumerate(cells)}
    total = sum(pace.rounds - n for n in done.values())
    skipped = sum(n >= pace.rounds for n in done.values())
    if skipped:
        typer.echo(f"{skipped} of {len(cells)} cells already have a record", err=True)
    with _progress(total) as advance:
        for cell, outcome in sweep(suite, cells, done, pace, plugins):
            i = position[id(cell)]
            records[i] = record = merged(records[i], cell, outcome)
            store.put(record)
            advance(_line(cell, record), 1 if outcome.status is Status.OK else pace.rounds - done[i])
            done[i] += 1


def _name(cell: "Cell") -> str:
    key = cell.key
    return f"{key['backbone']} {key['height']}x{key['width']} {key['dtype']} {key['preset']}"


def _line(cell: "Cell", record: Record) -> str:
    if record.status is not Status.OK:
        return f"{_name(cell)}: {record.status}, {record.reason}"
    from statistics import median

    last = record.rounds[-1]
    samples = last["samples_ms"]
    mark = "" if last["converged"] else ", not converged"
    return f"{_name(cell)}: {median(samples):.4g} ms (round {len(record.rounds)}, n = {len(samples)}{mark})"


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """A bar on a terminal, plain lines elsewhere; ``advance(line, rounds)`` after each round."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        count = 0

        def plain(line: str, rounds: int) -> None:
            nonlocal count
            count += rounds
            typer.echo(f"[{min(count, total)}/{total}] {line}", err=True)

        yield plain
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("rounds", total=total)

        def drawn(line: str, rounds: int) -> None:
            progress.console.print(line, markup=False, highlight=False)
            progress.advance(task, rounds)

        yield drawn
