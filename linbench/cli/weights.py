"""``linbench weights``: official checkpoints by name."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linbench.cli.progress import progress
from linbench.cli.refusal import refuse, refusing
from linbench.published.weights import PublishedWeights, find_weights, published_weights

if TYPE_CHECKING:
    from linbench.reports.render.table import Table

MEGABYTE = 10**6

app = typer.Typer(
    help="List, show and download official checkpoints.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="MODEL or MODEL:VARIANT, see `linbench weights list`.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the models that have official weights."""
    from linbench.reports.render.table import to_terminal

    if as_json:
        typer.echo(json.dumps([_facts(entry) for entry in published_weights()], indent=1))
        return
    typer.echo(to_terminal(_table(), 80), nl=False)


@app.command("show")
def show(name: Name, as_json: Json = False) -> None:
    """Show source, size, licence and content of official weights."""
    with refusing():
        entry = find_weights(name)
    facts = _facts(entry)
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    for key, value in facts.items():
        if value not in ("", None):
            typer.echo(f"{key:<12} {value}")


@app.command("get")
def get(name: Name) -> None:
    """Download official weights once, and check their size and hash.

    The file goes into linbench's cache; `--checkpoint NAME=official` uses it. A download that was cut goes on.
    """
    with refusing():
        entry = find_weights(name)
    if entry.path.is_file():
        _check(entry)
        typer.echo(str(entry.path))
        return
    _download(entry)
    typer.echo(str(entry.path))


def _download(entry: PublishedWeights) -> None:
    """Download a checkpoint with progress, and remember its hash."""
    from linbench.system.download import DownloadFailed, Expected, download

    facts = ", ".join(fact for fact in (entry.format_size(), entry.licence, f"trained on {entry.trained_on}") if fact)
    typer.echo(f"{entry.name}: {facts}; from {entry.url}", err=True)
    shown = 0
    with progress("MB", round((entry.bytes or 0) / MEGABYTE) or 1) as advance:

        def count(done: int, total: int | None) -> None:
            nonlocal shown
            megabytes = done // MEGABYTE
            advance.countdown(f"{megabytes:,} MB" + (f" of {total / MEGABYTE:,.0f} MB" if total else ""))
            if megabytes > shown:
                advance("", megabytes - shown)
                shown = megabytes

        try:
            sha256 = download(entry.url, entry.path, Expected(entry.bytes, entry.sha256), count)
        except (DownloadFailed, OSError) as error:
            refuse(f"{error}. Without a network: download it elsewhere, and put it at {entry.path}")
    _remembered(entry).write_text(json.dumps({"url": entry.url, "sha256": sha256}), encoding="utf-8")
    if not entry.sha256:
        typer.echo(f"no hash is published; remembered: sha256 {sha256}", err=True)


def _check(entry: PublishedWeights) -> None:
    """Refuse a file that is not the published one, or not the one that was downloaded."""
    from linbench.system.files import file_sha256

    sha256, expected = file_sha256(entry.path), entry.sha256 or _hash_of(_remembered(entry))
    if not sha256.startswith(expected):
        refuse(f"{entry.path}: its hash is {sha256[:16]}…, not {expected[:16]}…; remove it and repeat the command")


def _hash_of(file: Path) -> str:
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _remembered(entry: PublishedWeights) -> Path:
    return entry.path.with_name(f"{entry.file}.json")


def _facts(entry: PublishedWeights) -> dict[str, object]:
    """Return what is known of a checkpoint, and where it is."""
    here = str(entry.path) if entry.path.is_file() else ""
    return {"name": entry.name, **asdict(entry), "size": entry.format_size(), "here": here}


def _table() -> "Table":
    from linbench.reports.render.table import MISSING, Table

    rows = tuple(
        (
            entry.name,
            entry.format_size() or MISSING,
            str(entry.image_size),
            entry.licence,
            "yes" if entry.path.is_file() else "no" if entry.url else "not released",
        )
        for entry in published_weights()
    )
    columns = ("weights", "size", "px", "licence", "here")
    notes = (
        "`linbench weights get NAME` downloads; `--checkpoint NAME=official` uses the file.",
        "Official weights keep their own licences. Sources and contents: `linbench weights show NAME`.",
    )
    return Table("Official weights", columns, rows, notes)
