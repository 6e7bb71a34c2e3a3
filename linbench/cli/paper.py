"""``linbench paper``: the paper's tables and figures, published beside measured."""

import json
import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linbench.cli.refusal import choice, refuse, refusing, split
from linbench.records import Store, slug

if TYPE_CHECKING:
    from linbench.reports.paper.evidence import Evidence
    from linbench.reports.paper.layout import PaperTable
    from linbench.reports.paper.masks import PromptRow
    from linbench.reports.paper.spec import TableSpec
    from linbench.reports.render.table import Table

TABLES = ("1", "2", "3", "4", "5", "6", "7")
FIGURES = ("1", "3", "4", "6", "7", "8")
MASK_FIGURES = ("4", "6", "7", "8")
ALL = "all"
WIDTH = 80  # of the summary


@dataclass(frozen=True)
class DeviceReport:
    """The tables, texts and files of one device.

    texts: For the terminal.
    summary: The verdicts in one sentence; empty without tables.
    """

    tables: "list[PaperTable]"
    texts: list[str]
    files: list[Path]
    summary: str


def paper(
    table: Annotated[
        str | None, typer.Option(help="1 to 7 by comma, or all; default all if --figure is not given.")
    ] = None,
    figure: Annotated[str | None, typer.Option(help="1, 3, 4, 6, 7, 8 by comma, or all; likewise.")] = None,
    results: Annotated[Path, typer.Option(help="Folder of records.")] = Path("results"),
    out: Annotated[Path | None, typer.Option(help="Folder for the files; default RESULTS/paper.")] = None,
    device: Annotated[
        str | None, typer.Option(help="Report this device only; default: files for each device of the records.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option(help="Table 2: NAME=FILE of `linbench data stats NAME --json`; repeatable.")
    ] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(help="Figures 4, 6, 7, 8: a folder of `linbench predict`, one for each model; repeatable."),
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the predictions' images, if they moved.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Maximum number of prompts in a figure of masks.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="Print every cell as JSON instead of tables.")] = False,
) -> None:
    """Set the paper's numbers beside the measured ones.

    Each cell has its deviation, a verdict and a source; a cell that is not measured has the command that would
    measure it. Writes Markdown, CSV, LaTeX and JSON for each table, PNG and SVG for each figure.
    """
    tables, figures = _requests(table, figure)
    folder = out or results / "paper"
    if not results.is_dir() and results != Path("results"):
        refuse(f"--results {results}: there is no such folder; leave the option out to report without records")
    with refusing():
        prompts, faults = _prompts(predictions or [], images, rows, figure)
        specs = _specs(tables, figures)
        evidence, store_faults = _evidence(results, specs, sets or [])
        faults = [*store_faults, *faults]
        devices = _devices(evidence, device)
    _echo_faults(faults)
    with _writing(folder):
        reports = [_write(evidence.of_device(name), suffix, specs, folder) for name, suffix in devices.items()]
        files = [path for name in figures if name in MASK_FIGURES for path in _write_masks(name, prompts, folder)]
    _print(reports, files, folder, as_json)
    if faults:
        typer.echo(f"linbench: {len(faults)} left out; named above", err=True)
        raise typer.Exit(1)


def _requests(table: str | None, figure: str | None) -> tuple[list[str], list[str]]:
    """Return the numbers of the requested tables and figures; all of both where neither is named."""
    if table is None and figure is None:
        table = figure = ALL
    return _numbers("--table", table, TABLES), _numbers("--figure", figure, FIGURES)


def _numbers(flag: str, text: str | None, allowed: Sequence[str]) -> list[str]:
    if text == ALL:
        return list(allowed)
    return [choice(flag, name, (*allowed, ALL)) for name in split(text or "")]


def _specs(tables: Sequence[str], figures: Sequence[str]) -> "list[TableSpec]":
    """Return the requested tables, then the tables behind the requested figures, in the order of the request."""
    from linbench.reports.paper.spec import table_specs

    specs = table_specs().values()
    requests = [*((False, number) for number in tables), *((True, number) for number in figures)]
    return [spec for request in requests for spec in specs if (spec.is_figure, spec.number) == request]


def _evidence(
    results: Path, specs: "Sequence[TableSpec]", dataset_files: Sequence[str]
) -> "tuple[Evidence, list[str]]":
    """Return all that is known for some tables, on all devices, and the faults of records that were left out."""
    from linbench.cli.paper_models import backbone_stages, count_model, recipe_hashes
    from linbench.reports.paper.evidence import Evidence, read_records
    from linbench.reports.paper.spec import counted_models, staged_backbones
    from linbench.reports.staleness import present_hashes

    datasets = dict(_dataset_counts(text) for text in dataset_files)
    store = Store(results)
    records = list(store)
    latency, scores, faults = read_records(records, present_hashes(records, "backbone"))
    evidence = Evidence(
        latency=latency,
        scores=scores,
        models={model: count_model(model) for model in counted_models(specs)},
        stages={name: backbone_stages(name) for name in staged_backbones(specs)},
        recipe_hashes=recipe_hashes(),
        datasets=datasets,
    )
    return evidence, [*(f"{path}: {reason}" for path, reason in store.faults), *faults]


def _devices(evidence: "Evidence", device: str | None) -> dict[str, str]:
    """Return the devices to report, each with the suffix of its files; one unnamed device without records."""
    names = evidence.devices()
    if device is not None:
        if not names:
            refuse(f"--device {device}: there are no records of any device")
        matches = [name for name in names if device.lower() in name.lower()]
        is_unique = device not in names and len(matches) == 1
        names = [matches[0] if is_unique else choice("--device", device, names)]
    return {name: f"-{slug(name)}" if len(names) > 1 else "" for name in names or [""]}


def _dataset_counts(text: str) -> tuple[str, Mapping[str, int]]:
    """Read NAME=FILE: a dataset's images and masks, as ``linbench data stats`` prints them of its training split."""
    from linbench.reports.paper.scores import EMBEDDED

    name, equals, file = text.partition("=")
    if not equals:
        raise ValueError(f"--sets {text}: write NAME=FILE, as coconut=coconut.json")
    try:
        rows = json.loads(Path(file).read_text(encoding="utf-8"))
        (row,) = (row for row in rows if row["split"] == "train")
        counts = {quantity: int(row[quantity]) for quantity in ("images", "masks")}
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"--sets {text}: it is not what `linbench data stats {name} --split train --json` prints ({error})"
        ) from error
    if row.get("set") == EMBEDDED:
        raise ValueError(
            f"--sets {text}: it counts the embedded dataset, not the paper's; pass --data to `data stats`"
        )
    return name, counts


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Make the folder; refuse where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        refuse(f"--out {folder}: it cannot be written ({error.strerror or error}); name another folder")


def _write(evidence: "Evidence", suffix: str, specs: "Sequence[TableSpec]", folder: Path) -> DeviceReport:
    """Write the tables and drawn figures of one device."""
    from linbench.reports.paper import excluded, export, render, tables

    built = [tables.build(spec, evidence) for spec in specs]
    files: list[Path] = []
    for table in built:
        images = DRAWINGS[table.name](table, evidence, folder, suffix) if table.name in DRAWINGS else []
        files += images
        files += export.write(table, folder, suffix, [path for path in images if path.suffix == ".svg"])
    texts = [_terminal(render.glance(table)) for table in built]
    if any(not spec.is_figure for spec in specs) and (others := excluded.build(evidence.scores)):
        files += export.write_excluded(others, folder, suffix)
        texts += [_terminal(table) for table in others]
    if built:
        files += export.write_summary(built, folder, suffix)
    return DeviceReport(built, texts, files, export.summary_line(built) if built else "")


def _terminal(table: "Table") -> str:
    """Return a table for the terminal, its title wrapped as well."""
    from linbench.reports.render.plain_text import plain
    from linbench.reports.render.table import to_terminal

    width = shutil.get_terminal_size((WIDTH, 24)).columns
    return textwrap.fill(plain(table.title), width) + to_terminal(replace(table, title=""), width)


def _draw_figure_1(table: "PaperTable", _: "Evidence", folder: Path, suffix: str) -> list[Path]:
    from linbench.reports.paper import figure1
    from linbench.reports.render.figure import save

    return save(figure1.draw(table), folder / f"{table.name}{suffix}.svg")


def _draw_figure_3(table: "PaperTable", evidence: "Evidence", folder: Path, suffix: str) -> list[Path]:
    from linbench.reports.paper import figure3
    from linbench.reports.render.figure import save

    files: list[Path] = []
    for page, groups in figure3.pages(evidence.latency).items():
        files += save(figure3.draw(groups, evidence.device), folder / f"{table.name}{suffix}{page}.svg")
    return files


DRAWINGS: "Mapping[str, Callable[[PaperTable, Evidence, Path, str], list[Path]]]" = {
    "figure-1": _draw_figure_1,
    "figure-3": _draw_figure_3,
}


def _prompts(
    folders: Sequence[Path], images: Path | None, max_rows: int, figure: str | None
) -> "tuple[list[PromptRow], list[str]]":
    """Return the rows of the figures of masks, none without predictions, and the faults of files left out."""
    from linbench.cli.paper_masks import read_rows

    if not folders:
        return [], []
    if figure not in MASK_FIGURES:
        refuse(f"--predictions: say for which figure, --figure {', '.join(MASK_FIGURES)}; these show masks")
    return read_rows(folders, images, max_rows)


def _write_masks(number: str, rows: "Sequence[PromptRow]", folder: Path) -> list[Path]:
    """Write a figure of masks with its caption; without predictions only the commands that make it."""
    from linbench.reports.paper import masks
    from linbench.reports.render.figure import save
    from linbench.reports.render.table import write_texts

    files = save(masks.draw(rows, masks.title(number)), folder / f"figure-{number}.svg") if rows else []
    if not files:
        typer.echo(f"figure {number}: no masks yet; figure-{number}.md has the commands", err=True)
    return [*files, *write_texts({folder / f"figure-{number}.md": masks.caption(number, rows)})]


def _echo_faults(faults: Sequence[str]) -> None:
    from linbench.reports.render.plain_text import plain

    for fault in faults:
        typer.echo(f"left out: {plain(fault)}", err=True)


def _print(reports: Sequence[DeviceReport], files: Sequence[Path], folder: Path, as_json: bool) -> None:
    """Print the tables, then what was written, and the summary last."""
    from linbench.reports.paper.render import plain_cells

    if as_json:
        cells = [cell for report in reports for table in report.tables for cell in plain_cells(table)]
        typer.echo(json.dumps(cells, indent=1))
    else:
        for text in (text for report in reports for text in report.texts):
            typer.echo(text + "\n")
    count = sum(len(report.files) for report in reports) + len(files)
    typer.echo(f"wrote {count} file{'s' * (count != 1)} into {folder}", err=True)
    if not as_json:
        for report in reports:
            if report.summary:
                typer.echo(textwrap.fill(report.summary, WIDTH))
