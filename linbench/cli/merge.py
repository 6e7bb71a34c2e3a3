"""``linbench merge``: results of several machines in one folder."""

import json
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linbench.cli.decisions import echo_wrapped
from linbench.cli.refusal import echo_faults, exit_if, refuse
from linbench.records import MOST_BY_OTHERS, Record, Store, preference

if TYPE_CHECKING:
    from linbench.merging import MergeResult

MOST_NAMED = 20
#: The parts of a key that name a cell.
NAMING = ("suite", "backbone", "op", "case", "direction", "part", "fusion", "size", "dtype", "preset")


def merge(
    folders: Annotated[list[Path], typer.Argument(help="Folders of records.")],
    out: Annotated[Path, typer.Option(help="Folder that receives all of them; its own records stay.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Merge results of several machines without loss.

    Rounds of one measurement join in one record. A different outcome of the same key keeps a file of its own and is
    named with the reason; reports show the undisturbed one with the most rounds. Nothing is overwritten or averaged,
    and repeating the command changes nothing.
    """
    from linbench import merging

    for folder in folders:
        if not folder.is_dir():
            refuse(f"{folder}: no such folder; name folders that `linbench run --results` wrote")
        if folder.resolve() in out.resolve().parents:
            refuse(f"--out {out}: it lies in {folder}, which is read; name a folder outside it")
    if all(_is_empty(Store(folder)) for folder in folders):
        refuse(f"{' '.join(map(str, folders))}: no records in it; `linbench run --results DIR` makes some")
    try:
        with Store(out).writing():
            result = merging.merge(folders, out)
    except BlockingIOError:
        refuse(f"--out {out}: another linbench run or merge is writing there; wait for it or name another folder")
    except OSError as error:
        refuse(f"--out {out}: it cannot be written ({error.strerror or error}); name another folder")
    faults = [f"{path}: {reason}" for path, reason in result.faults]
    echo_faults(faults)
    if as_json:
        typer.echo(json.dumps(_plain(result), indent=1))
    else:
        _print(result, out)
    exit_if(False, faults)


def _is_empty(store: Store) -> bool:
    return next(store.items(), None) is None and not store.faults


def _print(result: "MergeResult", out: Path) -> None:
    for conflict in sorted(result.conflicts, key=lambda conflict: _cell_name(conflict.shown))[:MOST_NAMED]:
        echo_wrapped(f"several outcomes: {_cell_name(conflict.shown)}: reports show {_outcome(conflict.shown)}")
        for other in conflict.others:
            echo_wrapped(f"also kept, {_reason(conflict.shown, other)}: {_outcome(other)}", indent="  ")
    if (hidden := len(result.conflicts) - MOST_NAMED) > 0:
        typer.echo(f"and {hidden} more with several outcomes; --json names all")
    parts = [f"{result.records} records in {out}", f"{len(result.written)} written"]
    parts += [f"{result.joined} with rounds of several files"] * bool(result.joined)
    parts += [f"{len(result.conflicts)} with several outcomes"] * bool(result.conflicts)
    typer.echo(", ".join(parts))


def _cell_name(record: Record) -> str:
    key = dict(record.key)
    if "height" in key:
        key["size"] = f"{key['height']}x{key['width']}"
    return " ".join(str(key[name]) for name in NAMING if key.get(name) not in (None, "none", ""))


def _outcome(record: Record) -> str:
    """Return a record's number or status, and what distinguishes it from another of the same key."""
    samples = [median(times) for entry in record.rounds if (times := entry.get("samples_ms"))]
    if record.status != "ok":
        outcome = f"{record.status}, {record.reason}" if record.reason else str(record.status)
    elif samples:
        outcome = f"{median(samples):.4g} ms in {len(samples)} round{'s' * (len(samples) != 1)}"
    else:
        outcome = ", ".join(f"{name} {metric.get('value')}" for name, metric in list(record.metrics.items())[:2])
    started = preference(record).started
    commit = str(record.environment.get("git_commit", ""))[:9]
    torch = str(record.environment.get("torch", ""))
    origin = [f"torch {torch}" if torch else "", f"commit {commit}" if commit else "", started[:16]]
    return f"{outcome} ({', '.join(filter(None, origin))})"


def _reason(shown: Record, other: Record) -> str:
    """Return why reports show the one and not the other: the first field of the preference that differs."""
    best, worse = preference(shown), preference(other)
    disturbed = f"disturbed by other programs (up to {-100 * worse.by_others:.0f} % of the cores)"
    reasons = {
        "is_ok": f"{other.status} and not ok",
        "is_undisturbed": disturbed if -worse.by_others > MOST_BY_OTHERS else "the device throttled",
        "rounds": "fewer rounds",
        "by_others": "other programs used more of the cores",
        "started": "measured earlier",
    }
    differing = (why for name, why in reasons.items() if getattr(best, name) != getattr(worse, name))
    return next(differing, "equal in rounds and time")


def _plain(result: "MergeResult") -> dict[str, Any]:
    return {
        "records": result.records,
        "written": [str(path) for path in result.written],
        "gathered": result.joined,
        "conflicts": [
            {
                "key": dict(conflict.shown.key),
                "shown": _outcome(conflict.shown),
                "beside": [_outcome(other) for other in conflict.others],
                "why": [_reason(conflict.shown, other) for other in conflict.others],
            }
            for conflict in result.conflicts
        ],
        "left_out": [{"file": str(path), "reason": reason} for path, reason in result.faults],
    }
