"""``linbench merge``: results of several machines in one folder."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linbench.cli.refusal import refuse
from linbench.records import Record, Store

if TYPE_CHECKING:
    from linbench.merging import Merged

MOST_NAMED = 20
TELLING = ("suite", "backbone", "op", "case", "direction", "part", "fusion", "size", "dtype", "preset")


def merge(
    folders: Annotated[list[Path], typer.Argument(help="Folders of records.")],
    out: Annotated[Path, typer.Option(help="Folder that gets all of them; what is there already stays.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Join results of several machines; nothing is lost, overwritten or averaged.

    Rounds of one measurement gather in one record. Another outcome of the same key is kept in a file of its own, and
    named here; reports show the one measured last. The same command again changes nothing.
    """
    for folder in folders:
        if not folder.is_dir():
            refuse(f"{folder}: there is no such folder; name folders that `linbench run --results` wrote")
        if folder.resolve() in out.resolve().parents:
            refuse(f"--out {out}: it lies in {folder}, which is read; name a folder beside it")
    if all(_empty(Store(folder)) for folder in folders):
        refuse(f"{' '.join(map(str, folders))}: no records there; `linbench run --results DIR` makes some")
    from linbench.merging import merge as merged

    try:
        with Store(out).writing():
            done = merged(folders, out)
    except BlockingIOError:
        refuse(f"--out {out}: a linbench run or merge is writing there; wait for it or name another folder")
    except OSError as error:
        refuse(f"--out {out}: it cannot be written ({error.strerror or error}); name another folder")
    for path, reason in done.faults:
        typer.echo(_harmless(f"left out: {path}: {reason}"), err=True)
    if as_json:
        typer.echo(json.dumps(_plain(done), indent=1))
    else:
        _tell(done, out)
    if done.faults:
        typer.echo(f"linbench: {len(done.faults)} left out; named above", err=True)
        raise typer.Exit(1)


def _empty(store: Store) -> bool:
    return next(store.items(), None) is None and not store.faults


def _tell(done: "Merged", out: Path) -> None:
    for conflict in sorted(done.conflicts, key=lambda each: _cell(each.shown))[:MOST_NAMED]:
        typer.echo(_harmless(f"several outcomes: {_cell(conflict.shown)}: shown is {_outcome(conflict.shown)}"))
        for other in conflict.beside:
            typer.echo(f"  beside it {_harmless(_outcome(other))}")
    if (left := len(done.conflicts) - MOST_NAMED) > 0:
        typer.echo(f"and {left} more with several outcomes; --json names all")
    parts = [f"{done.records} records in {out}", f"{len(done.written)} written"]
    parts += [f"{done.gathered} with rounds of several files"] * bool(done.gathered)
    parts += [f"{len(done.conflicts)} with several outcomes"] * bool(done.conflicts)
    typer.echo(", ".join(parts))


def _cell(record: Record) -> str:
    key = dict(record.key)
    if "height" in key:
        key["size"] = f"{key['height']}x{key['width']}"
    return " ".join(str(key[name]) for name in TELLING if key.get(name) not in (None, "none", ""))


def _outcome(record: Record) -> str:
    """A record's number or status, and what tells it from another of the same key."""
    from statistics import median

    samples = [median(found) for entry in record.rounds if (found := entry.get("samples_ms"))]
    if record.status != "ok":
        said = f"{record.status}, {record.reason}" if record.reason else str(record.status)
    elif samples:
        said = f"{median(samples):.4g} ms in {len(samples)} rounds"
    else:
        said = ", ".join(f"{name} {metric.get('value')}" for name, metric in list(record.metrics.items())[:2])
    started = max((str(entry.get("started", "")) for entry in record.rounds), default="")
    commit = str(record.environment.get("git_commit", ""))[:9]
    torch = str(record.environment.get("torch", ""))
    by = [f"torch {torch}" if torch else "", f"commit {commit}" if commit else "", started[:16]]
    return f"{said} ({', '.join(filter(None, by))})"


def _plain(done: "Merged") -> dict[str, Any]:
    return {
        "records": done.records,
        "written": [str(path) for path in done.written],
        "gathered": done.gathered,
        "conflicts": [
            {"key": dict(each.shown.key), "shown": _outcome(each.shown), "beside": [_outcome(r) for r in each.beside]}
            for each in done.conflicts
        ],
        "left_out": [{"file": str(path), "reason": reason} for path, reason in done.faults],
    }


def _harmless(text: str) -> str:
    from linbench.reports.plain_text import plain

    return plain(text)
