"""``linbench compare``: whether two sets of results differ, cell by cell, and whether that is more than noise."""

import json
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linbench.cli.refusal import choice, refuse, split
from linbench.records import Record, Store

if TYPE_CHECKING:
    from linbench.reports.compared_cells import Cell
    from linbench.reports.comparison import Comparison, Pair
    from linbench.reports.table import Table

GUARDS = ("SLOWER", "WORSE", "BROKEN")
FORMATS = (".md", ".csv", ".json")


def compare(
    folders: Annotated[
        list[Path], typer.Argument(help="Two folders of records, or one with --backbones or --commits.")
    ],
    backbones: Annotated[
        str | None, typer.Option(help="Of one folder: two or more backbones, by comma, each with each.")
    ] = None,
    commits: Annotated[
        str | None, typer.Option(help="Of one folder: two git commits, by comma; their first digits suffice.")
    ] = None,
    margin: Annotated[str, typer.Option(help="Of a TIE of times.")] = "2%",
    score_margin: Annotated[float, typer.Option(min=0.0, help="Of a TIE of scores, in points.")] = 0.5,
    across_devices: Annotated[
        bool, typer.Option("--across-devices", help="Ratios of two devices, without a verdict.")
    ] = False,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(help="Exit 1 on SLOWER[:5%], WORSE[:0.5], or BROKEN (ok before, not ok now); repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write it to a file too: .md, .csv or .json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Say of each cell whether the second side is FASTER, SLOWER, a TIE or AMBIGUOUS.

    Of scores BETTER or WORSE. The verdicts are corrected for the number of pairs. Results of different devices are
    never ranked.
    """
    guards = [_guard(text) for text in fail_on or []]
    if out is not None and out.suffix not in FORMATS:
        refuse(f"--out {out}: its ending says what is written: {', '.join(FORMATS)}")
    if guards and across_devices:
        refuse("--fail-on: needs verdicts, and across devices there are none")
    from linbench.reports.comparison import Margins, of_backbones, of_sides

    margins = Margins(_share("--margin", margin), score_margin)
    read = [_cells(folder) for folder in folders[:2]]
    cells, damaged = [each for each, _ in read], sum(count for _, count in read)
    if backbones is not None:
        _one(folders, "--backbones")
        found = of_backbones(_known(split(backbones), cells[0]), cells[0], margins)
    else:
        names, sides = _sides(folders, commits, cells)
        _refuse_devices(names, sides, across_devices)
        found = of_sides(names, sides[0], sides[1], margins, devices=across_devices)
    _show(found, out, as_json)
    failed = [f"--fail-on {text}: {said}" for text, word, least in guards for said in _hits(found, word, least)]
    for line in failed:
        typer.echo(f"linbench: {line}", err=True)
    if damaged:
        typer.echo(f"linbench: {damaged} left out; named above", err=True)
    if failed or damaged:
        raise typer.Exit(1)


def _cells(folder: Path) -> "tuple[list[Cell], int]":
    """The cells of a folder; what cannot be read is named, and counted."""
    from linbench.reports.compared_cells import cells

    if not folder.is_dir():
        refuse(f"{folder}: there is no such folder; name folders that `linbench run --results` wrote")
    store = Store(folder)
    records: list[Record] = list(store)
    found, faults = cells(records)
    faults = [*(f"{path}: {reason}" for path, reason in store.faults), *(f"{folder}: {fault}" for fault in faults)]
    for fault in faults:
        _say(f"left out: {fault}")
    if not found:
        refuse(f"{folder}: no records of times or scores there; `linbench run --results {folder}` makes some")
    return found, len(faults)


def _sides(
    folders: Sequence[Path], commits: str | None, cells: "Sequence[list[Cell]]"
) -> "tuple[tuple[str, str], list[list[Cell]]]":
    """The names and the cells of the two sides."""
    if commits is not None:
        _one(folders, "--commits")
        asked = split(commits)
        if len(asked) != 2:
            refuse(f"--commits {commits}: write two, as 1a2b3c4,5d6e7f8")
        return (asked[0], asked[1]), [_of_commit(commit, cells[0]) for commit in asked]
    if len(folders) != 2:
        refuse("compare takes two folders; or one, with --backbones x,y or --commits a,b")
    first, second = folders
    names = (first.name, second.name) if first.name != second.name else (str(first), str(second))
    return names if names[0] != names[1] else ("first", "second"), list(cells)


def _of_commit(commit: str, cells: "Iterable[Cell]") -> "list[Cell]":
    known = list(cells)
    found = [cell for cell in known if commit and cell.commit.startswith(commit)]
    if not found:
        there = ", ".join(sorted({cell.commit[:9] or "unknown" for cell in known}))
        refuse(f"--commits {commit}: no record is of that commit; there are {there}")
    return found


def _one(folders: Sequence[Path], flag: str) -> None:
    if len(folders) != 1:
        refuse(f"{flag}: goes with one folder, {len(folders)} are named")


def _known(names: Sequence[str], cells: "Iterable[Cell]") -> list[str]:
    there = sorted({cell.names["backbone"] for cell in cells} - {""})
    found = [choice("--backbones", name, there) for name in dict.fromkeys(names)]
    if len(found) < 2:
        refuse(f"--backbones {','.join(names)}: write two or more, as vit-t,vim-t")
    return found


def _refuse_devices(names: Sequence[str], sides: "Sequence[list[Cell]]", across: bool) -> None:
    devices = [sorted({cell.names["device"] for cell in side}) for side in sides]
    if across or set(devices[0]) & set(devices[1]):
        return
    told = " and ".join(f"{name} of {', '.join(each)}" for name, each in zip(names, devices, strict=True))
    refuse(f"results of different devices are never ranked: {told}; --across-devices shows their ratios only")


def _share(flag: str, text: str) -> float:
    """``2%`` as 0.02."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text.strip())
    if not found:
        refuse(f"{flag} {text}: write a percentage, as 2%")
    return float(found[1]) / 100


def _guard(text: str) -> tuple[str, str, float]:
    """A guard as given, its word, and the least difference that counts: a share of times, points of scores."""
    word, _, least = text.partition(":")
    choice("--fail-on", word, GUARDS)
    if not least:
        return text, word, 0.0
    if word == "SLOWER":
        return text, word, _share("--fail-on SLOWER:", least)
    if word == "BROKEN" or not re.fullmatch(r"\d+(\.\d+)?", least):
        refuse(f"--fail-on {text}: write SLOWER:5%, WORSE:0.5 (points) or BROKEN")
    return text, word, float(least)


def _hits(found: "Comparison", word: str, least: float) -> list[str]:
    """What a guard finds, in words."""
    import math

    if word == "BROKEN":
        broken = [p for p in (*found.times, *found.scores) if p.first.status == "ok" != p.second.status]
        return [f"{_name(pair)}: {pair.second.status}, {pair.second.reason}" for pair in broken]
    if word == "SLOWER":
        slower = {id(p): math.exp(p.difference.value) - 1 for p in found.times if p.difference}
        return [
            f"{_name(p)}: {100 * slower[id(p)]:.1f} % slower"
            for p in found.times
            if p.judged.verdict == word and slower[id(p)] >= least
        ]
    worse = [p for p in found.scores if p.judged.verdict == word and p.difference and -p.difference.value >= least]
    return [f"{_name(p)}: {-p.difference.value:.2f} points worse" for p in worse if p.difference]


def _name(pair: "Pair") -> str:
    names = dict(pair.second.names)
    if "metric" in pair.second.key:
        names["suite"] = ""
    shown = ("suite", "metric", "backbone", "op", "case", "direction", "part", "size", "dtype", "preset")
    return " ".join(names[name] for name in shown if names[name])


def _show(found: "Comparison", out: Path | None, as_json: bool) -> None:
    from linbench.reports.comparison_table import as_json as plain
    from linbench.reports.comparison_table import tables
    from linbench.reports.table import to_terminal
    from linbench.reports.text_files import write_texts

    made = tables(found)
    if as_json:
        typer.echo(json.dumps(plain(found), indent=1))
    else:
        width = shutil.get_terminal_size((100, 24)).columns
        for table in made:
            typer.echo(to_terminal(table, width) + "\n")
    if out is None:
        return
    try:
        (path,) = write_texts({out: _text(found, made, out.suffix)})
    except OSError as error:
        refuse(f"--out {out}: it cannot be written ({error.strerror or error}); name another file")
    typer.echo(f"wrote {path}", err=True)


def _text(found: "Comparison", made: "Sequence[Table]", ending: str) -> str:
    from linbench.reports.comparison_table import as_json as plain
    from linbench.reports.table import frame_to_csv, to_markdown

    if ending == ".md":
        return "\n".join(to_markdown(table) for table in made)
    if ending == ".json":
        return json.dumps(plain(found), indent=1, ensure_ascii=False) + "\n"
    from pandas import DataFrame

    return frame_to_csv(DataFrame(plain(found)))


def _say(text: str) -> None:
    from linbench.reports.plain_text import plain

    typer.echo(plain(text), err=True)
