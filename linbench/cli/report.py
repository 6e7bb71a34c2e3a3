"""``linbench report``: tables, figures and a page from records."""

import gc
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linbench.cli.refusal import choice, refuse, split
from linbench.provenance import code_hash
from linbench.records import Record, Store

if TYPE_CHECKING:
    import pandas as pd

    from linbench.reports.table import Table

#: The report of each suite: a module with ``rows``, ``sections``, ``plain`` and ``write_files``; and what its records
#: are of.
REPORTS = {
    "latency": ("linbench.reports.latency", "backbone"),
    "kernels": ("linbench.reports.kernels", "op"),
    **dict.fromkeys(
        ("coco", "dis", "coift", "hrsod", "imagenet", "ade20k"), ("linbench.reports.accuracy", "backbone")
    ),
}
#: Figures take about a second each; of more comparisons of one report they are drawn on request.
MOST_DRAWN = 6
Fault = tuple[str, str]  # path and reason


@dataclass(frozen=True)
class Part:
    """One report's records, their rows and their tables, each made once."""

    report: Any
    records: Sequence[Record]
    present: Mapping[str, str]

    @cached_property
    def rows(self) -> "pd.DataFrame":
        found: pd.DataFrame = self.report.rows(self.records, self.present)
        return found

    @cached_property
    def sections(self) -> "list[list[Table]]":
        found: list[list[Table]] = self.report.sections(self.rows)
        return found


def report(
    results: Annotated[Path, typer.Option(help="Folder of records.")] = Path("results"),
    out: Annotated[Path | None, typer.Option(help="Folder for the files; default --results.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Also write one page of everything: a file that needs no network.")
    ] = None,
    suite: Annotated[str, typer.Option(help="Suites, by comma; default all that have records.")] = "",
    figures: Annotated[
        bool | None,
        typer.Option("--figures/--no-figures", help=f"Default: of up to {MOST_DRAWN} comparisons of a report."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Print the tables of all records; write files.

    Markdown, LaTeX, a long CSV, and each figure as PNG and SVG; with --html a page to look at in a browser. Damaged
    records are named and left out, and the exit code is then 1.
    """
    asked = [choice("--suite", name, tuple(REPORTS)) for name in split(suite)]
    records, faults = sound(Store(results))
    records = [record for record in records if not asked or record.key.get("suite") in asked]
    for path, reason in faults:
        typer.echo(f"left out: {path}: {_harmless(reason)}", err=True)
    if not records and not faults:
        of = f" of the suite {' or '.join(asked)}" if asked else ""
        refuse(f"--results {results}: no records{of} there; `linbench run --results {results}` makes some")
    parts = _parts(records)
    _print(parts, as_json)
    _write(parts, out or results, figures)
    if html is not None:
        _write_page(records, parts, faults, html)
    if faults:
        typer.echo(f"linbench: {len(faults)} left out as damaged; named above", err=True)
        raise typer.Exit(1)


def sound(store: Store) -> tuple[list[Record], list[Fault]]:
    """The records that rows can be made of, and path and reason of all that was left out."""
    from linbench.reports.soundness import fault

    found = [(path, record, fault(record)) for path, record in store.items()]
    gc.freeze()  # thousands of records are a million values, which no collection need look at again
    faults = [(str(path), reason) for path, _, reason in found if reason]
    return [record for _, record, reason in found if not reason], faults + [(str(p), why) for p, why in store.faults]


def print_tables(records: Sequence[Record], as_json: bool) -> None:
    """Print the tables of ``records``, or their rows as JSON."""
    _print(_parts(records), as_json)


def write_files(store: Store, out: Path) -> None:
    """Write the tables and the figures of a store's sound records under ``out``."""
    _write(_parts(sound(store)[0]), out, None)


def _print(parts: Sequence[Part], as_json: bool) -> None:
    from linbench.reports.table import to_terminal

    if as_json:
        typer.echo(json.dumps([row for part in parts for row in part.report.plain(part.rows)], indent=1))
        return
    width = shutil.get_terminal_size((100, 24)).columns
    for table in (table for part in parts for section in part.sections for table in section):
        typer.echo(to_terminal(table, width=width) + "\n")


def _write(parts: Sequence[Part], out: Path, figures: bool | None) -> None:
    try:
        for part in parts:
            draw = len(part.sections) <= MOST_DRAWN if figures is None else figures
            if not draw and figures is None:
                name = part.report.__name__.rpartition(".")[2]
                typer.echo(f"{name}: {len(part.sections)} comparisons, so no figures; --figures draws them", err=True)
            for path in part.report.write_files(part.rows, part.sections, out, draw):
                typer.echo(f"wrote {path}", err=True)
    except OSError as error:
        refuse(f"--out {out}: it cannot be written ({error.strerror or error}); name another folder")


def _write_page(records: Sequence[Record], parts: Sequence[Part], faults: Sequence[Fault], path: Path) -> None:
    import pandas as pd

    from linbench.reports.page.document import Found, html
    from linbench.reports.text_files import write_texts

    made = {part.report.__name__.rpartition(".")[2]: part for part in parts}
    rows = {name: made[name].rows if name in made else pd.DataFrame() for name in ("latency", "accuracy", "kernels")}
    tables = [section[0] for section in made["latency"].sections] if "latency" in made else []
    try:
        write_texts({path: html(Found(records, rows["latency"], rows["accuracy"], rows["kernels"], tables, faults))})
    except OSError as error:
        refuse(f"--html {path}: it cannot be written ({error.strerror or error}); name another file")
    typer.echo(f"wrote {path}", err=True)


def _harmless(text: str) -> str:
    from linbench.reports.plain_text import clip, plain
    from linbench.reports.table import LONGEST_TEXT

    return clip(plain(text), LONGEST_TEXT)


def _parts(records: Sequence[Record]) -> list[Part]:
    """For each report whose suites have records: the report, the records, and the present code hashes."""
    found = []
    for module, subject in dict.fromkeys(REPORTS.values()):
        suites = [suite for suite, (of, _) in REPORTS.items() if of == module]
        mine = [record for record in records if record.key.get("suite") in suites]
        if mine:
            found.append(Part(import_module(module), mine, present_hashes(mine, subject)))
    return found


def present_hashes(records: Sequence[Record], subject: str) -> dict[str, str]:
    """What each subject's measuring code hashes to now; a plug-in that is not loaded has none."""
    from linbench.reports.rows import measured

    found: dict[str, str] = {}
    known: dict[str, str | None] = {}
    for record in records:
        modules = json.dumps(record.environment.get("modules"), sort_keys=True)
        if modules not in known:
            known[modules] = _present(record.environment.get("modules"), subject)
        if (present := known[modules]) is not None:
            found[measured(record.key, subject)] = present
    return found


def _present(modules: Any, subject: str) -> str | None:
    """The hash of the code in ``modules`` now; None where they are not here or are not said."""
    try:
        return code_hash(modules["suite"], modules[subject], modules.get("without", ()))
    except (LookupError, TypeError, AttributeError):
        return None
