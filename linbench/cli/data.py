"""``linbench data``: list datasets, check that they are whole, and count what is in them."""

import json
import re
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linbench.cli.data_make import make
from linbench.cli.data_user import UserFlags
from linbench.cli.progress import progress
from linbench.cli.refusal import choice, load_plugins, refuse, refusing

if TYPE_CHECKING:
    from linbench.data.check import Inspect, SampleReport
    from linbench.data.contract import Dataset

STEPS = 50  # lines of progress where there is no terminal
WIDTH = 80  # columns of the tables
QUANTILES = (0, 5, 50, 95, 100)  # of the images' longer sides

app = typer.Typer(
    help="List, check, count and make datasets.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("make")(make)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A dataset, see `linbench data where`; or masks.")]
Data = Annotated[
    str | None,
    typer.Option(
        "--data", help="Folder of all datasets, or shapes, the embedded one [default: LINBENCH_DATA, or shapes]."
    ),
]
Split = Annotated[str | None, typer.Option("--split", help="train or val [default: all in the folder].")]
Images = Annotated[
    str | None,
    typer.Option(
        "--images",
        metavar="N|DIR",
        help="Images of the embedded dataset [default: 256 train, 64 val], or your folder.",
    ),
]
Masks = Annotated[Path | None, typer.Option("--masks", metavar="DIR", help="Of `masks`: the folder of masks.")]
Annotations = Annotated[
    Path | None,
    typer.Option("--annotations", metavar="FILE", help="Of `coco`: your file, for the images in --images."),
]
Title = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Of your data [default: its folder's].")]
Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="Python file that registers datasets; repeatable.")
]
Size = Annotated[int | None, typer.Option("--size", min=16, help="Side of its images, px [default: 512].")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Processes [default: one per core].")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command("where")
def where(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One dataset [default: all].")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List datasets, and the expected layout of missing ones."""
    from linbench.data.contract import dataset
    from linbench.data.roots import EMBEDDED, VARIABLE, list_splits, resolve_data

    if name is not None:
        choice("NAME", name, tuple(dataset))
    root = resolve_data(data)
    with refusing():
        rows = list_splits(None if root == EMBEDDED else root)
    rows = [row for row in rows if name in (None, row.name)]
    if as_json:
        rows = [] if root == EMBEDDED else rows
        typer.echo(json.dumps({"data": root, "sets": [row.to_json() for row in rows]}, indent=1))
        return
    if root == EMBEDDED:
        typer.echo(
            f"neither --data nor {VARIABLE} names a folder:\nthe embedded dataset, {EMBEDDED}, stands in for all"
        )
    else:
        typer.echo(f"below {root}:\n")
        for row in rows:
            location = str(row.folder or row.missing)
            typer.echo(f"{'✓' if row.folder else '–'}  {row.name:<9}  {row.split:<5}  {location}")
    missing = {row.name: row.layout for row in rows if not row.folder}
    if missing:
        typer.echo("\nExpected below the folder of all datasets:\n")
        for name, layout in missing.items():
            typer.echo(f"{name}\n" + "".join(f"{_wrapped(line)}\n" for line in layout.splitlines()))


def _wrapped(line: str) -> str:
    """Return a line of a layout, indented; one that is too wide goes on below."""
    text = f"    {line}"
    if len(text) <= WIDTH:
        return text
    indent = " " * (len(text) - len(text.lstrip()))
    words = re.sub(" {2,}", "  ", text.strip())
    return textwrap.fill(words, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}    ")


@app.command("check")
def check(
    name: Name,
    data: Data = None,
    split: Split = None,
    images: Images = None,
    size: Size = None,
    workers: Workers = None,
    masks: Masks = None,
    annotations: Annotations = None,
    title: Title = None,
    plugin: Plugins = None,
    as_json: Json = False,
) -> None:
    """Read every image and mask once; name each bad file.

    Exit code 1 if a file is bad.
    """
    from linbench.data.check import check_sample

    results = []
    for dataset in _open_splits(name, data, split, size, UserFlags(images, masks, annotations, title), plugin):
        reports, seconds = _inspect(dataset, check_sample, workers)
        faults = [*dataset.faults, *(fault for report in reports for fault in report.faults)]
        distinct = {f"{fault.file}: {fault.reason}": fault for fault in faults}
        results.append(
            {
                "name": name,
                "set": dataset.name,
                "split": dataset.split,
                "images": len(dataset),
                "masks": sum(report.masks for report in reports),
                "seconds": round(seconds, 1),
                "checksum": dataset.checksum,
                "notes": list(dataset.facts.get("notes", ())),
                "incomplete": _incomplete(dataset),
                "bad": [{"id": fault.id, "file": fault.file, "reason": fault.reason} for fault in distinct.values()],
            }
        )
    if as_json:
        typer.echo(json.dumps(results, indent=1))
    else:
        _print_results(results)
    if any(result["bad"] for result in results):
        raise typer.Exit(1)


def _incomplete(dataset: "Dataset[Any]") -> str:
    """Return how many images of a published validation set are there; empty where they are all."""
    from linbench.published.dataset_sizes import missing_images

    return missing_images(dataset.name, len(dataset)) if dataset.split != "train" else ""


def _print_results(results: Sequence[dict[str, Any]]) -> None:
    """Print a line for each fault and note, and one for each split."""
    from linbench.reports.render.plain_text import plain

    for result in results:
        for fault in result["bad"]:
            typer.echo(plain(f"{fault['file']}: {fault['reason']}"))
        for note in result["notes"]:
            typer.echo(plain(f"note: {note}"))
        state = f"{len(result['bad'])} bad" if result["bad"] else "ok"
        typer.echo(
            f"{result['set']}, {result['split']}: {_count(result['images'], 'image')}, "
            f"{_count(result['masks'], 'mask')}, {state} "
            f"({result['seconds']} s); checksum {result['checksum'][:12]}"
            f"{'; incomplete: ' if result['incomplete'] else ''}{result['incomplete']}"
        )


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' * (n != 1)}"


@app.command("stats")
def stats(
    name: Name,
    data: Data = None,
    split: Split = None,
    images: Images = None,
    size: Size = None,
    workers: Workers = None,
    masks: Masks = None,
    annotations: Annotations = None,
    title: Title = None,
    plugin: Plugins = None,
    as_json: Json = False,
) -> None:
    """Count images and masks, and summarize image sizes."""
    from linbench.data.check import measure_sample

    rows = []
    for dataset in _open_splits(name, data, split, size, UserFlags(images, masks, annotations, title), plugin):
        reports, _ = _inspect(dataset, measure_sample, workers)
        row = {"set": dataset.name, "split": dataset.split, "classes": len(dataset.classes)}
        rows.append(row | _statistics(reports))
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    from linbench.reports.render.table import Table, to_terminal

    cells = [_table_row(row) for row in rows]
    typer.echo(to_terminal(Table("Statistics", tuple(cells[0]), tuple(tuple(c.values()) for c in cells)), WIDTH))


def _table_row(row: dict[str, Any]) -> dict[str, str]:
    """Return the cells of a split by column heading."""
    masks, sides = row["masks"], row["long_side"] or ["–"] * len(QUANTILES)
    return {
        "dataset": f"{row['set']} {row['split']}",
        "images": f"{row['images']:,}",
        "masks": f"{masks:,}" if masks else "–",
        "masks/image": f"{masks / row['images']:.2f}" if masks else "–",
        "classes": str(row["classes"] or "–"),
        **{f"long side\n{quantile} %, px": str(side) for quantile, side in zip(QUANTILES, sides, strict=True)},
        "Mpx\nmedian": str(row["median_megapixels"] or "–"),
        "not read": str(row["unreadable"] or "–"),
    }


def _statistics(reports: "Sequence[SampleReport]") -> dict[str, Any]:
    """Count images and masks, as the paper's Table 2 does, and return the quantiles of the longer side."""
    import numpy as np

    sizes = np.array([report.size for report in reports if report.size], np.int64).reshape(-1, 2)
    long = np.percentile(sizes.max(axis=1), QUANTILES, method="nearest") if len(sizes) else ()
    return {
        "images": len(reports),
        "masks": sum(report.masks for report in reports),
        "long_side": [int(side) for side in long],
        "median_megapixels": round(float(np.median(sizes.prod(axis=1))) / 1e6, 3) if len(sizes) else None,
        "unreadable": sum(report.size is None for report in reports),
    }


def _open_splits(
    name: str,
    data: str | None,
    split: str | None,
    size: int | None,
    flags: UserFlags,
    plugin: list[Path] | None,
) -> "list[Dataset[Any]]":
    """Open the user's data, the split that the user names, or all in the folder; refuse where there is none."""
    from linbench.data.contract import BadDataset, dataset
    from linbench.data.roots import EMBEDDED, list_splits, open_dataset, resolve_data

    load_plugins(plugin or [], dataset)
    choice("NAME", name, (*sorted(dataset), "masks"))
    if name == "masks" or flags.names_files:
        with refusing():
            return [flags.open(name, data, split, size)]
    splits = dataset[name].facts.get("splits", ("val",))
    if split is not None:
        choice("--split", split, splits)
    root, images = resolve_data(data), flags.count()
    if root != EMBEDDED and (images or size):
        refuse(f"--{'images' if images else 'size'} applies to the embedded dataset only, not to those in {root}")
    with refusing():
        if split is None and root != EMBEDDED:
            present = [row.split for row in list_splits(root) if row.name == name and row.folder]
            splits = present or splits[-1:]
        names = splits if split is None else (split,)
        try:
            return [open_dataset(name, split_name, data, images=images, size=size) for split_name in names]
        except BadDataset as error:
            refuse(str(error))


def _inspect(dataset: "Dataset[Any]", inspect: "Inspect", workers: int | None) -> "tuple[list[SampleReport], float]":
    """Inspect every sample, with progress; return the reports and the time taken, s."""
    from linbench.data.check import inspect_samples
    from linbench.environment import cores

    start = time.perf_counter()
    reports: list[SampleReport] = []
    shown = bad = 0
    step = max(1, len(dataset) // STEPS)
    try:
        with progress("samples", len(dataset)) as advance:
            for chunk in inspect_samples(dataset, inspect, workers or cores()):
                reports += chunk
                bad += sum(bool(report.faults) for report in chunk)
                if len(reports) - shown >= step or len(reports) == len(dataset):
                    advance(f"{dataset.name}, {dataset.split}: {bad or 'none'} bad", len(reports) - shown)
                    shown = len(reports)
    except KeyboardInterrupt:
        typer.echo("\nlinbench: stopped", err=True)
        raise typer.Exit(130) from None
    return reports, time.perf_counter() - start
