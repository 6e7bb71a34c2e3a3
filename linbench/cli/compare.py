"""``linbench compare``: whether two sides differ, cell by cell, and whether the difference is more than noise."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linbench.cli.decisions import echo_commands, echo_wrapped, print_tables, read_cells
from linbench.cli.refusal import choice, echo_faults, exit_if, refuse, refusing, split
from linbench.groups import expand

if TYPE_CHECKING:
    from linbench.reports.decide.comparable_cells import ComparableCell
    from linbench.reports.decide.compare import Comparison, Margins

GUARDS = ("SLOWER", "WORSE", "BROKEN")
FORMATS = (".md", ".csv", ".json")


def compare(
    folders: Annotated[
        list[Path], typer.Argument(help="Two folders of records, or one with --backbones or --commits.")
    ],
    backbones: Annotated[
        str | None, typer.Option(help="Compare two or more backbones, or a group such as @seed, of one folder.")
    ] = None,
    commits: Annotated[
        str | None,
        typer.Option(help="Compare two git commits of one folder, comma-separated; their first digits suffice."),
    ] = None,
    margin: Annotated[str, typer.Option(help="Latencies within this percentage count as a tie.")] = "2%",
    score_margin: Annotated[float, typer.Option(min=0.0, help="Scores within these points count as a tie.")] = 0.5,
    across_devices: Annotated[
        bool, typer.Option("--across-devices", help="Show ratios between two devices, without a verdict.")
    ] = False,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(help="Exit 1 on SLOWER[:5%], WORSE[:0.5], or BROKEN (ok before, not ok now); repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write a file: .md, .csv or .json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Test whether two sets of results differ.

    Each cell gets a verdict on the second side: FASTER, SLOWER, TIE or AMBIGUOUS; scores BETTER or WORSE. The
    verdicts are corrected for the number of pairs. Results of different devices are never ranked. Times of fewer than
    3 rounds, disturbed by other programs or throttled are shown with marks and not compared.
    """
    from linbench.reports.decide.compare import Margins

    guards = [_guard(text) for text in fail_on or []]
    if out is not None and out.suffix not in FORMATS:
        refuse(f"--out {out}: the ending selects the format; allowed are {', '.join(FORMATS)}")
    if guards and across_devices:
        refuse("--fail-on: needs verdicts, and across devices there are none")
    if backbones is not None and commits is not None:
        refuse("--backbones and --commits: give one of them")
    margins = Margins(_fraction("--margin", margin), score_margin)
    sides, faults = _read(folders[:2])
    if backbones is not None:
        comparison = _compare_backbones(folders, backbones, sides[0], margins)
    else:
        comparison = _compare_sides(folders, commits, sides, margins, across_devices)
    _print(comparison, as_json)
    if not as_json and commits is None:
        _print_commands(comparison, folders)
    if out is not None:
        _write(comparison, out)
    _warn_of_doubt(comparison, guards)
    hits = [f"--fail-on {guard.text}: {hit}" for guard in guards for hit in _hits(comparison, guard)]
    for hit in hits:
        typer.echo(f"linbench: {hit}", err=True)
    exit_if(bool(hits), faults)


def _read(folders: Sequence[Path]) -> "tuple[list[list[ComparableCell]], list[str]]":
    """Return the cells of each folder and all faults, which are named; refuse a folder without cells."""
    sides, all_faults = [], []
    for folder in folders:
        if not folder.is_dir():
            refuse(f"{folder}: no such folder; name folders that `linbench run --results` wrote")
        cells, faults = read_cells(folder)
        echo_faults(faults)
        if not cells:
            refuse(f"{folder}: no records of times or scores in it; `linbench run --results {folder}` makes some")
        sides.append(cells)
        all_faults += faults
    return sides, all_faults


def _compare_backbones(
    folders: Sequence[Path], backbones: str, cells: "list[ComparableCell]", margins: "Margins"
) -> "Comparison":
    from linbench.reports.decide.compare import compare_backbones

    _require_one(folders, "--backbones")
    recorded = sorted({cell.labels["backbone"] for cell in cells} - {""})
    with refusing():
        listed = expand(split(backbones), recorded, "--backbones")
    names = [choice("--backbones", name, recorded) for name in listed]
    if len(names) < 2:
        refuse(f"--backbones {backbones}: write two or more, such as vit-t,vim-t")
    return compare_backbones(names, cells, margins)


def _compare_sides(
    folders: Sequence[Path],
    commits: str | None,
    sides: "list[list[ComparableCell]]",
    margins: "Margins",
    across_devices: bool,
) -> "Comparison":
    from linbench.reports.decide.compare import check_devices, compare_sides
    from linbench.reports.decide.naming import side_names

    if commits is not None:
        _require_one(folders, "--commits")
        names = split(commits)
        if len(names) != 2:
            refuse(f"--commits {commits}: write two, such as 1a2b3c4,5d6e7f8")
        sides = [_of_commit(commit, sides[0]) for commit in names]
    elif len(folders) == 2:
        names = list(side_names(*folders))
    else:
        refuse("compare takes two folders; or one, with --backbones x,y or --commits a,b")
    named = (names[0], names[1])
    if not across_devices:
        with refusing():
            check_devices(named, sides[0], sides[1])
    return compare_sides(named, sides[0], sides[1], margins, across_devices)


def _of_commit(commit: str, cells: "list[ComparableCell]") -> "list[ComparableCell]":
    matching = [cell for cell in cells if commit and cell.commit.startswith(commit)]
    if not matching:
        recorded = ", ".join(sorted({cell.commit[:9] or "unknown" for cell in cells}))
        refuse(f"--commits {commit}: no record is of that commit; there are {recorded}")
    return matching


def _require_one(folders: Sequence[Path], flag: str) -> None:
    if len(folders) != 1:
        refuse(f"{flag} takes one folder, got {len(folders)}")


def _fraction(flag: str, text: str) -> float:
    """Parse ``2%`` as 0.02."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text.strip())
    if not match:
        refuse(f"{flag} {text}: write a percentage, such as 2%")
    return float(match[1]) / 100


@dataclass(frozen=True)
class Guard:
    """A ``--fail-on`` option: its text, its verdict, and the least difference, a fraction of times or points."""

    text: str
    verdict: str
    least: float


def _guard(text: str) -> Guard:
    verdict, _, least = text.partition(":")
    choice("--fail-on", verdict, GUARDS)
    if not least:
        return Guard(text, verdict, 0.0)
    if verdict == "SLOWER":
        return Guard(text, verdict, _fraction("--fail-on SLOWER:", least))
    if verdict == "BROKEN" or not re.fullmatch(r"\d+(\.\d+)?", least):
        refuse(f"--fail-on {text}: write SLOWER:5%, WORSE:0.5 (points) or BROKEN")
    return Guard(text, verdict, float(least))


def _hits(comparison: "Comparison", guard: Guard) -> list[str]:
    """Return a message for each pair that a guard fails on."""
    from linbench.reports.decide.naming import cell_name

    messages = []
    for pair in (*comparison.times, *comparison.scores):
        name = cell_name(pair.second)
        if guard.verdict == "BROKEN":
            if pair.first.status == "ok" != pair.second.status:
                messages.append(f"{name}: {pair.second.status}, {pair.second.reason}")
        elif pair.verdict == guard.verdict and pair.difference:
            slower, worse = math.expm1(pair.difference.value), -pair.difference.value
            if guard.verdict == "SLOWER" and slower >= guard.least:
                messages.append(f"{name}: {100 * slower:.1f} % slower")
            elif guard.verdict == "WORSE" and worse >= guard.least:
                messages.append(f"{name}: {worse:.2f} points worse")
    return messages


def _warn_of_doubt(comparison: "Comparison", guards: Sequence[Guard]) -> None:
    """Say which guards passed only because times could not be compared."""
    untested = sum(pair.in_doubt for pair in comparison.times)
    if untested and any(guard.verdict == "SLOWER" for guard in guards):
        of = f"{untested} of {len(comparison.times)} pair{'s' * (len(comparison.times) != 1)}"
        typer.echo(f"linbench: --fail-on SLOWER: {of} could not be compared; the marks tell why", err=True)


def _print(comparison: "Comparison", as_json: bool) -> None:
    from linbench.reports.decide import compare_table, marks

    if as_json:
        typer.echo(json.dumps(compare_table.as_json(comparison), indent=1))
        return
    if warning := marks.headline(comparison.compared):
        echo_wrapped(warning)
        typer.echo()
    print_tables(compare_table.tables(comparison))


def _print_commands(comparison: "Comparison", folders: Sequence[Path]) -> None:
    """Print the commands that measure again what could not be compared, for the folder of each side."""
    from linbench.reports.decide.commands import again

    lines: list[str] = []
    for side, folder in (("first", folders[0]), ("second", folders[-1])):
        cells = [getattr(pair, side) for pair in comparison.times if pair.in_doubt]
        lines += again(cells, "" if folder == Path("results") else str(folder))
    echo_commands(["To measure what is missing:", *dict.fromkeys(lines)] if lines else [])


def _write(comparison: "Comparison", out: Path) -> None:
    from linbench.reports.render.table import write_texts

    try:
        (path,) = write_texts({out: _text(comparison, out.suffix)})
    except OSError as error:
        refuse(f"--out {out}: it cannot be written ({error.strerror or error}); name another file")
    typer.echo(f"wrote {path}", err=True)


def _text(comparison: "Comparison", ending: str) -> str:
    from linbench.reports.decide import compare_table, marks
    from linbench.reports.render.table import frame_to_csv, to_markdown

    if ending == ".md":
        warning = marks.headline(comparison.compared)
        parts = [f"{warning}\n"] * bool(warning)
        return "\n".join([*parts, *map(to_markdown, compare_table.tables(comparison))])
    rows = compare_table.as_json(comparison)
    if ending == ".json":
        return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
    from pandas import DataFrame

    return frame_to_csv(DataFrame(rows))
