"""``linbench data``: which data sets are here, whether they are whole, and what is in them."""

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linbench.cli.data_make import make
from linbench.cli.progress import progress
from linbench.cli.refusal import choice, refuse, refusing

if TYPE_CHECKING:
    from linbench.data.check import Inspect, SampleReport
    from linbench.data.contract import Dataset

STEPS = 50  # of progress
QUANTILES = (0, 5, 50, 95, 100)  # of the images' longer sides

app = typer.Typer(
    help="Data sets: find, check, count and make them.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("make")(make)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A data set; `linbench data where` shows all.")]
Data = Annotated[
    str | None,
    typer.Option(
        "--data", help="Folder of all sets, or shapes, the embedded one; default LINBENCH_DATA, else shapes."
    ),
]
Split = Annotated[str | None, typer.Option("--split", help="train or val; default all that the set has here.")]
Images = Annotated[int | None, typer.Option("--images", min=1, help="Pictures of the embedded set; default 64.")]
Size = Annotated[int | None, typer.Option("--size", min=16, help="Their side, px; default 512.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Processes; default one for each core.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command("where")
def where(data: Data = None, as_json: Json = False) -> None:
    """Say which data sets are found, and the exact layout expected of those that are missing."""
    from linbench.data.roots import EMBEDDED, VARIABLE, list_splits, resolve_data

    root = resolve_data(data)
    with refusing():
        rows = [] if root == EMBEDDED else list_splits(root)
    if as_json:
        typer.echo(json.dumps({"data": root, "sets": rows}, indent=1))
        return
    if not rows:
        typer.echo(f"neither --data nor {VARIABLE} names a folder: the embedded set, {EMBEDDED}, stands in for all")
        rows = list_splits(None)
    else:
        from tabulate import tabulate

        mark = {True: "✓", False: "–"}
        shown = [(mark[row["found"]], row["name"], row["split"], row["said"]) for row in rows]
        typer.echo(f"below {root}:\n")
        typer.echo(tabulate(shown, tablefmt="plain"))
    missing = {row["name"]: row["layout"] for row in rows if not row["found"]}
    if missing:
        typer.echo("\nExpected below the folder of all sets:\n")
        for name, layout in missing.items():
            typer.echo(f"{name}\n" + "".join(f"    {line}\n" for line in layout.splitlines()))


@app.command("check")
def check(
    name: Name,
    data: Data = None,
    split: Split = None,
    images: Images = None,
    size: Size = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Read every picture and every mask once, and name each bad file.

    Exit code 1 where there is one.
    """
    from linbench.data.check import check_sample

    answers = []
    for dataset in _opened(name, data, split, images, size):
        seen, seconds = _looked(dataset, check_sample, workers)
        said = {f"{fault.file}: {fault.reason}": fault for fault in dataset.faults}
        for one in seen:
            said |= {f"{fault.file}: {fault.reason}": fault for fault in one.faults}
        answers.append(
            {
                "name": name,
                "set": dataset.name,
                "split": dataset.split,
                "images": len(dataset),
                "masks": sum(one.masks for one in seen),
                "seconds": round(seconds, 1),
                "checksum": dataset.checksum,
                "notes": list(dataset.facts.get("notes", ())),
                "bad": [{"id": fault.id, "file": fault.file, "reason": fault.reason} for fault in said.values()],
            }
        )
    if as_json:
        typer.echo(json.dumps(answers, indent=1))
    else:
        _tell(answers)
    if any(answer["bad"] for answer in answers):
        raise typer.Exit(1)


def _tell(answers: Sequence[dict[str, Any]]) -> None:
    from linbench.reports.render.plain_text import plain

    for answer in answers:
        for bad in answer["bad"]:
            typer.echo(plain(f"{bad['file']}: {bad['reason']}"))
        for note in answer["notes"]:
            typer.echo(plain(f"note: {note}"))
        state = f"{len(answer['bad'])} bad" if answer["bad"] else "ok"
        typer.echo(
            f"{answer['set']}, {answer['split']}: {answer['images']:,} images, {answer['masks']:,} masks, {state} "
            f"({answer['seconds']} s); checksum {answer['checksum'][:12]}"
        )


@app.command("stats")
def stats(
    name: Name,
    data: Data = None,
    split: Split = None,
    images: Images = None,
    size: Size = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Count images and masks, and give the quantiles of the images' sizes."""
    from linbench.data.check import measure_sample

    rows = []
    for dataset in _opened(name, data, split, images, size):
        seen, _ = _looked(dataset, measure_sample, workers)
        rows.append({"set": dataset.name, "split": dataset.split, "classes": len(dataset.classes), **_counted(seen)})
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    from tabulate import tabulate

    typer.echo(tabulate([_shown(row) for row in rows], headers="keys", disable_numparse=True, stralign="right"))


def _shown(row: dict[str, Any]) -> dict[str, str]:
    masks, sides = row["masks"], row["long_side"] or ["–"] * len(QUANTILES)
    return {
        "data set": row["set"],
        "split": row["split"],
        "images": f"{row['images']:,}",
        "masks": f"{masks:,}" if masks else "–",
        "masks/image": f"{masks / row['images']:.2f}" if masks else "–",
        "classes": str(row["classes"] or "–"),
        **{f"long side\n{quantile} %, px": str(side) for quantile, side in zip(QUANTILES, sides, strict=True)},
        "Mpx\nmedian": str(row["median_megapixels"] or "–"),
        "not read": str(row["unreadable"] or "–"),
    }


def _counted(seen: "Sequence[SampleReport]") -> dict[str, Any]:
    """Images, masks and sizes: what the paper's Table 2 counts, and the quantiles of the longer side."""
    import numpy as np

    sizes = np.array([one.size for one in seen if one.size], np.int64).reshape(-1, 2)
    long = np.percentile(sizes.max(axis=1), QUANTILES, method="nearest") if len(sizes) else ()
    return {
        "images": len(seen),
        "masks": sum(one.masks for one in seen),
        "long_side": [int(side) for side in long],
        "median_megapixels": round(float(np.median(sizes.prod(axis=1))) / 1e6, 3) if len(sizes) else None,
        "unreadable": sum(one.size is None for one in seen),
    }


def _opened(
    name: str, data: str | None, split: str | None, images: int | None, size: int | None
) -> "list[Dataset[Any]]":
    """The splits asked for, or all that are here; refuses where there is none."""
    from linbench.data.contract import BadDataset, dataset
    from linbench.data.roots import EMBEDDED, list_splits, open_dataset, resolve_data

    choice("NAME", name, tuple(dataset))
    splits = dataset[name].facts["splits"]
    if split is not None:
        choice("--split", split, splits)
    root = resolve_data(data)
    if root != EMBEDDED and (images or size):
        refuse(f"--{'images' if images else 'size'} is of the embedded set only; {root} is what it is")
    with refusing():
        if split is None and root != EMBEDDED:
            here = [row["split"] for row in list_splits(root) if row["name"] == name and row["found"]]
            splits = here or splits[-1:]
        wanted = splits if split is None else (split,)
        try:
            return [open_dataset(name, one, data, images=images, size=size) for one in wanted]
        except BadDataset as error:
            refuse(str(error))


def _looked(dataset: "Dataset[Any]", look: "Inspect", workers: int | None) -> "tuple[list[SampleReport], float]":
    """What every sample gave, with progress, and how long it took, s."""
    from linbench.data.check import inspect_samples
    from linbench.environment import cores

    start = time.perf_counter()
    seen: list[SampleReport] = []
    told = bad = 0
    step = max(1, len(dataset) // STEPS)
    try:
        with progress("samples", len(dataset)) as advance:
            for chunk in inspect_samples(dataset, look, workers or cores()):
                seen += chunk
                bad += sum(bool(one.faults) for one in chunk)
                if len(seen) - told >= step or len(seen) == len(dataset):
                    advance(f"{dataset.name}, {dataset.split}: {bad or 'none'} bad", len(seen) - told)
                    told = len(seen)
    except KeyboardInterrupt:
        typer.echo("\nlinbench: stopped", err=True)
        raise typer.Exit(130) from None
    return seen, time.perf_counter() - start
