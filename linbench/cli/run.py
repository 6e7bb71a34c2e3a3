"""``linbench run``: measure cells, write a record for each, print the table."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linbench.cli.evaluation import chosen, evaluate, refuse_shared
from linbench.cli.progress import progress
from linbench.cli.refusal import choice, explain_threads, load_plugins, pairs, refuse, refusing, split
from linbench.cli.resuming import lacking
from linbench.cli.searches import known, settle
from linbench.records import Record, Status, Store

if TYPE_CHECKING:
    from linbench.suites import Cell
    from linbench.suites.runner.rounds import SamplingConfig
    from linbench.suites.runner.suite import Key

SMALL = "vit-t,vim-t,vmamba-t,vrwkv-t,rwkv-sam-t"
REDO = ("stale", "failed", "all")
PARTS = ("backbone", "encoder", "decoder", "end-to-end")
FUSIONS = ("conv", "mamba", "rwkv", "dcn")
BRANCHES = ("model", "ema")


def run(
    context: typer.Context,
    suite: Annotated[str, typer.Option(help="Suites, by comma.")] = "latency",
    res: Annotated[
        str,
        typer.Option(
            help="512..2048 doubles, 512..2048:256 steps, 768x1024, lists. Accuracy: default the checkpoint's own "
            "size, or 1024 (imagenet 224, ade20k 512)."
        ),
    ] = "512..2048",
    backbone: Annotated[str, typer.Option(help="Backbones, by comma; `linbench list` shows all.")] = SMALL,
    preset: Annotated[str, typer.Option(help="Columns: paper, best, or both by comma.")] = "paper,best",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16, by comma.")] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    impl: Annotated[str | None, typer.Option(help="reference, fast or vendor, instead of the preset's.")] = None,
    attention: Annotated[str | None, typer.Option(help="naive, sdpa or chunked, instead of the preset's.")] = None,
    compile_: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="torch.compile, instead of the preset's.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option(help="Any setting, NAME=VALUE, as memory_format=channels_last; repeatable.")
    ] = None,
    option: Annotated[list[str] | None, typer.Option(help="A backbone's own option, NAME=VALUE; repeatable.")] = None,
    part: Annotated[
        str, typer.Option(help="Latency of the backbone, or of a segmenter's encoder, decoder, end-to-end; by comma.")
    ] = "backbone",
    prompts: Annotated[int, typer.Option(min=1, help="Box prompts that decoder and end-to-end decode.")] = 1,
    fusion: Annotated[
        str, typer.Option(help="RWKV-SAM's decoder: conv, mamba, rwkv, dcn, by comma; others have nothing to fuse.")
    ] = "conv",
    op: Annotated[str, typer.Option(help="Kernels: ops, by comma; default all.")] = "",
    case: Annotated[str, typer.Option(help="Kernels: cases, by comma; *1024 is a pattern; default all.")] = "",
    direction: Annotated[str, typer.Option(help="Kernels: forward, backward, or both.")] = "forward,backward",
    data: Annotated[
        str | None,
        typer.Option(help="Accuracy: folder of all sets, or shapes; default LINBENCH_DATA, or shapes."),
    ] = None,
    checkpoint: Annotated[
        list[str] | None, typer.Option(help="Accuracy: FILE, or NAME=FILE of one of several backbones; repeatable.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Accuracy: model or ema, of a checkpoint that holds both; default as its source evaluates."
        ),
    ] = None,
    random: Annotated[bool, typer.Option("--random", help="Accuracy: random weights, for smoke tests.")] = False,
    boxes: Annotated[
        Path | None, typer.Option(help="coco: a detector's results; default those that lie with the set.")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="Accuracy: keep-aspect or squash-1024; ade20k: whole or slide; default the suite's own."),
    ] = None,
    images: Annotated[int | None, typer.Option(min=1, help="Accuracy: the first N images; default all.")] = None,
    max_bad: Annotated[
        int, typer.Option(min=0, help="Accuracy: bad images and annotations that may be skipped.")
    ] = 0,
    eval_batch: Annotated[
        int, typer.Option(min=1, help="Accuracy: images prepared ahead; no score depends on it.")
    ] = 4,
    threads: Annotated[int | None, typer.Option(help="CPU threads; default OMP_NUM_THREADS or all cores.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Fresh processes per cell; 3 or more give an interval.")] = 3,
    cell_seconds: Annotated[float, typer.Option(min=0.0, help="Sampling budget of one round of a cell.")] = 20.0,
    search_seconds: Annotated[
        float, typer.Option(min=0.0, help="Time of one search for the preset best, once for each backbone and dtype.")
    ] = 20.0,
    energy: Annotated[bool, typer.Option("--energy", help="Measure joules per image too, 15 s a round.")] = False,
    timeout: Annotated[float, typer.Option(min=1.0, help="Longest life of one process, in seconds.")] = 900.0,
    seed: Annotated[int, typer.Option(help="Of the order of cells and of the weights.")] = 0,
    results: Annotated[Path, typer.Option(help="Folder of records.")] = Path("results"),
    plugin: Annotated[list[Path] | None, typer.Option(help="A Python file that registers backbones.")] = None,
    redo: Annotated[str | None, typer.Option(help="Measure again: stale, failed or all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cells; measure nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure cells and write a record for each.

    Each round of each cell runs in a fresh process; a cell that has a fresh record is skipped. Suites of accuracy run
    in this process, or share their images among those that torchrun started.
    """
    from linbench.suites import Choices
    from linbench.suites import suite as suites
    from linbench.suites.runner.options import refuse_unused
    from linbench.suites.runner.resolutions import resolutions
    from linbench.suites.runner.rounds import SamplingConfig

    if redo is not None:
        choice("--redo", redo, REDO)
    plugins = [path.resolve() for path in plugin or []]
    from linbench.backbones import backbone as backbones

    load_plugins(plugins, backbones, suites)
    given = {
        "impl": impl and choice("--impl", impl, ("reference", "fast", "vendor")),
        "attention": attention and choice("--attention", attention, ("naive", "sdpa", "chunked")),
        "compile": compile_,
        **pairs("--setting", setting or [], "memory_format=channels_last"),
    }
    for name in split(preset):
        choice("--preset", name, ("paper", "best"))
    for name in split(dtype):
        choice("--dtype", name, ("float32", "bfloat16", "float16"))
    for name in split(part):
        choice("--part", name, PARTS)
    for name in split(fusion):
        choice("--fusion", name, FUSIONS)
    for name in split(direction):
        choice("--direction", name, ("forward", "backward"))
    by_hand = _given_by_hand(context)
    with refusing():
        built = {name: suites[name].build() for name in split(suite)}
        refuse_unused(by_hand, built)
        refuse_shared(built)
        choices = Choices(
            backbones=tuple(dict.fromkeys(split(backbone))) or refuse("--backbone is empty"),
            resolutions=tuple(resolutions(res)),
            dtypes=tuple(split(dtype)),
            presets=tuple(split(preset)),
            device=device,
            threads=threads,
            given=given,
            options=pairs("--option", option or [], "position_embedding=true"),
            parts=tuple(dict.fromkeys(split(part))) or refuse("--part is empty"),
            prompts=prompts,
            fusions=tuple(dict.fromkeys(split(fusion))) or refuse("--fusion is empty"),
            energy=energy,
            ops=tuple(split(op)),
            cases=tuple(split(case)),
            directions=tuple(split(direction)),
            data=data,
            boxes=boxes,
            protocol=protocol,
            images=images,
            checkpoints=tuple(checkpoint or []),
            weights=weights and choice("--weights", weights, BRANCHES),
            random=random,
            seed=seed,
        )
        of_suite = {name: chosen(choices, one, by_hand) for name, one in built.items()}
        planned = [(name, cell) for name in split(suite) for cell in built[name].cells(of_suite[name])]
    explain_threads(threads)
    store = Store(results)
    pace = SamplingConfig(rounds=rounds, cell_seconds=cell_seconds, timeout_s=timeout, seed=seed)
    if dry_run:
        _print_plan(known([cell for _, cell in planned], store, redo), store, pace, redo, as_json)
        return
    from linbench.suites.accuracy.session import Job
    from linbench.suites.runner.ranks import joined

    with joined() as ranks, _writing(store) if ranks.is_first else nullcontext():
        cells = settle([cell for _, cell in planned], store, pace, search_seconds, plugins, redo)
        planned = list(zip((name for name, _ in planned), cells, strict=True))
        for name, one in built.items():
            mine = [cell for of, cell in planned if of == name]
            if one.task is None:
                _measure(name, mine, store, pace, plugins, redo)
            else:
                evaluate(one, mine, of_suite[name], store, ranks, Job(max_bad, eval_batch), redo, _name)
    if not ranks.is_first:
        return
    from linbench.cli.report import print_tables, write_files

    records = [record for _, cell in planned if (record := store.get(cell.key))]
    print_tables(records, as_json)
    write_files(store, results)
    if any(record.status is not Status.OK for record in records):
        raise typer.Exit(1)


def _given_by_hand(context: typer.Context) -> list[str]:
    """The options on the command line, as they are written there, without their hyphens."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = (name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE")
    return [name.rstrip("_").replace("_", "-") for name in given]


def _print_plan(
    cells: "Sequence[Cell]", store: Store, pace: "SamplingConfig", redo: str | None, as_json: bool
) -> None:
    rows = []
    for cell in cells:
        record = None if cell.pending else store.get(cell.key)
        missing, why = lacking(cell, record, pace.rounds if _timed(cell) else 1, redo)
        unknown = dict.fromkeys((name for name, _ in cell.pending.axes), "searched") if cell.pending else {}
        path = None if cell.pending else str(store.path(cell.key))
        rows.append({**cell.key, **unknown, "rounds_to_measure": missing, "because": why, "path": path})
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    from tabulate import tabulate

    from linbench.suites.latency.search import pending

    shown = list(dict.fromkeys(part for cell in cells for part in (*_named_by(cell), *_CONDITIONS)))
    table = [[_part(row, name) for name in (*shown, "rounds_to_measure", "because")] for row in rows]
    typer.echo(tabulate(table, headers=[*shown, "rounds", "because"]))
    timed = [row["rounds_to_measure"] for cell, row in zip(cells, rows, strict=True) if _timed(cell)]
    seconds = sum(timed) * pace.cell_seconds
    for search in pending(cells):
        typer.echo(f"search first: {search.name}, over {', '.join(name for name, _ in search.axes)}")
    cost = f", about {seconds / 60:.0f} min of sampling and a few seconds of start per round" if timed else ""
    typer.echo(f"{len(rows)} cells{cost}")


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
    suite: str,
    cells: "Sequence[Cell]",
    store: Store,
    pace: "SamplingConfig",
    plugins: Sequence[Path],
    redo: str | None,
) -> None:
    from linbench.suites.runner.rounds import merged, sweep

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
    with progress("rounds", total) as advance:
        for cell, outcome in sweep(suite, cells, done, pace, plugins):
            i = position[id(cell)]
            records[i] = record = merged(records[i], cell, outcome)
            store.put(record)
            advance(_line(cell, record), 1 if outcome.status is Status.OK else pace.rounds - done[i])
            done[i] += 1


_CONDITIONS = ("device_type", "attention", "threads")  # shown in a plan beside what names a cell


def _named_by(cell: "Cell") -> tuple[str, ...]:
    from linbench.suites import suite as suites

    named_by: tuple[str, ...] = suites[str(cell.key["suite"])].build().named_by
    return named_by


def _timed(cell: "Cell") -> bool:
    """Whether the cell is measured in rounds, and not an evaluation."""
    from linbench.suites import suite as suites

    return suites[str(cell.key["suite"])].build().task is None


def _part(key: "Key", name: str) -> str:
    """A part of a key as text: ``size`` is height and width; empty where there is no such part."""
    size = {"size": f"{key['height']}x{key['width']}"} if "height" in key else {}
    return str({**key, **size}.get(name, ""))


def _name(cell: "Cell") -> str:
    return " ".join(word for name in _named_by(cell) if (word := _part(cell.key, name)) not in ("", "none"))


def _line(cell: "Cell", record: Record) -> str:
    if record.status is not Status.OK:
        return f"{_name(cell)}: {record.status}, {record.reason}"
    from statistics import median

    last = record.rounds[-1]
    samples = last["samples_ms"]
    mark = "" if last["converged"] else ", not converged"
    return f"{_name(cell)}: {median(samples):.4g} ms (round {len(record.rounds)}, n = {len(samples)}{mark})"
