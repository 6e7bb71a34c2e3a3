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
from linbench.records import Record, Store

if TYPE_CHECKING:
    import pandas as pd

    from linbench.reports.render.table import Table

#: For each suite its report, a module with ``rows``, ``sections``, ``plain`` and ``write_files``; and its subject,
#: the entry of a key that names what is measured.
REPORTS = {
    "latency": ("linbench.reports.latency.report", "backbone"),
    "throughput": ("linbench.reports.throughput.report", "backbone"),
    "training-step": ("linbench.reports.training_step.report", "backbone"),
    "kernels": ("linbench.reports.kernels.report", "op"),
    **dict.fromkeys(
        ("coco", "dis", "coift", "hrsod", "imagenet", "ade20k", "masks"),
        ("linbench.reports.accuracy.report", "backbone"),
    ),
}
#: Figures take about a second each; a report of more comparisons draws them on request only.
MOST_DRAWN = 6
Fault = tuple[str, str]  # path and reason, of a record that cannot be read


@dataclass(frozen=True)
class Part:
    """One report: its records, their rows and their tables, each made once."""

    report: Any
    records: Sequence[Record]
    present: Mapping[str, str]

    @property
    def name(self) -> str:
        """Return the report's package: ``latency``, ``kernels`` or ``accuracy``."""
        name: str = self.report.__name__.split(".")[-2]
        return name

    @cached_property
    def rows(self) -> "pd.DataFrame":
        """Return one row for each record."""
        rows: pd.DataFrame = self.report.rows(self.records, self.present)
        return rows

    @cached_property
    def sections(self) -> "list[list[Table]]":
        """Return the tables of each comparison."""
        sections: list[list[Table]] = self.report.sections(self.rows)
        return sections

    @property
    def printed(self) -> "list[Table]":
        """Return the tables that a terminal shows."""
        if self.name == "latency":
            tables: list[Table] = self.report.printed(self.rows, self.sections)
            return tables
        return [table for section in self.sections for table in section]


def report(
    results: Annotated[Path, typer.Option(help="Folder of records.")] = Path("results"),
    out: Annotated[Path | None, typer.Option(help="Folder for the files; default: --results.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write a page of all records: one file, no network.")] = None,
    suite: Annotated[str, typer.Option(help="Suites, separated by commas; default: all that have records.")] = "",
    figures: Annotated[
        bool | None,
        typer.Option(
            "--figures/--no-figures", help=f"Draw figures; default: if a report has at most {MOST_DRAWN} comparisons."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Print the tables of all records; write files and a page.

    Files are Markdown, LaTeX, CSV with a row for each record, and each figure as PNG and SVG; --html adds a page for
    a browser, with the profiles that are stored too. Damaged records are named and left out; the exit code is then 1.
    """
    suites = [choice("--suite", name, tuple(REPORTS)) for name in split(suite)]
    records, faults = sound(Store(results))
    records = [record for record in records if not suites or record.key.get("suite") in suites]
    profiles, unread = stored_profiles(results) if html is not None and not suites else ([], [])
    faults += unread
    for path, reason in faults:
        typer.echo(f"left out: {path}: {_one_line(reason)}", err=True)
    if not records and not faults and not profiles:
        of = f" of the suite {' or '.join(suites)}" if suites else ""
        refuse(f"--results {results}: no records{of} there; `linbench run --results {results}` makes some")
    parts = _parts(records)
    _print(parts, as_json)
    _write(parts, out or results, figures)
    if html is not None:
        _write_page(records, parts, profiles, faults, html)
    if faults:
        typer.echo(f"linbench: {len(faults)} left out as damaged, named above", err=True)
        raise typer.Exit(1)


def sound(store: Store) -> tuple[list[Record], list[Fault]]:
    """Return the records that rows can be made of, and path and reason of all others."""
    from linbench.reports.validation import record_fault

    checked = [(path, record, record_fault(record)) for path, record in store.items()]
    gc.freeze()  # thousands of records are a million values, which no collection needs to visit again
    faults = [(str(path), reason) for path, _, reason in checked if reason]
    unread = [(str(path), reason) for path, reason in store.faults]
    return [record for _, record, reason in checked if not reason], faults + unread


def print_tables(records: Sequence[Record], as_json: bool) -> None:
    """Print the tables of ``records``, or their rows as JSON."""
    _print(_parts(records), as_json)


def write_files(store: Store, out: Path) -> list[Path]:
    """Write the tables and the figures of a store's sound records into the folder ``out``; return the paths."""
    return _write(_parts(sound(store)[0]), out, None)


def _print(parts: Sequence[Part], as_json: bool) -> None:
    from linbench.reports.render.table import to_terminal

    if as_json:
        typer.echo(json.dumps([row for part in parts for row in part.report.plain(part.rows)], indent=1))
        return
    width = shutil.get_terminal_size().columns
    for table in (table for part in parts for table in part.printed):
        typer.echo(to_terminal(table, width=width) + "\n")


def _write(parts: Sequence[Part], out: Path, figures: bool | None) -> list[Path]:
    written: list[Path] = []
    try:
        for part in parts:
            with_figures = len(part.sections) <= MOST_DRAWN if figures is None else figures
            if not with_figures and figures is None:
                typer.echo(
                    f"{part.name}: {len(part.sections)} comparisons, so no figures; --figures draws them", err=True
                )
            paths = part.report.write_files(part.rows, part.sections, out, with_figures)
            for path in paths:
                typer.echo(f"wrote {path}", err=True)
            written += paths
    except OSError as error:
        refuse(f"--out {out}: it cannot be written ({error.strerror or error}); name another folder")
    return written


def stored_profiles(results: Path) -> tuple[list[Mapping[str, Any]], list[Fault]]:
    """Return the stored profiles, and path and reason of each file that is none."""
    from linbench.reports.profile import stored

    return stored.read_all(results)


def _write_page(
    records: Sequence[Record],
    parts: Sequence[Part],
    profiles: Sequence[Mapping[str, Any]],
    faults: Sequence[Fault],
    path: Path,
) -> None:
    import pandas as pd

    from linbench.reports.page.document import PageContent, html
    from linbench.reports.render.table import write_texts

    by_name = {part.name: part for part in parts}
    names = ("latency", "accuracy", "kernels", "throughput")
    rows = {name: by_name[name].rows if name in by_name else pd.DataFrame() for name in names}
    tables = [section[0] for section in by_name["latency"].sections] if "latency" in by_name else []
    try:
        content = PageContent(records=records, tables=tables, faults=faults, profiles=profiles, **rows)
        write_texts({path: html(content)})
    except OSError as error:
        refuse(f"--html {path}: it cannot be written ({error.strerror or error}); name another file")
    typer.echo(f"wrote {path}", err=True)


def _one_line(text: str) -> str:
    from linbench.reports.render.plain_text import clip, plain
    from linbench.reports.render.table import LONGEST_TEXT

    return clip(plain(text), LONGEST_TEXT)


def _parts(records: Sequence[Record]) -> list[Part]:
    """Return each report whose suites have records, with these records and the present code hashes."""
    from linbench.reports.staleness import present_hashes

    parts = []
    for module, subject in dict.fromkeys(REPORTS.values()):
        suites = [suite for suite, (name, _) in REPORTS.items() if name == module]
        reported = [record for record in records if record.key.get("suite") in suites]
        if reported:
            parts.append(Part(import_module(module), reported, present_hashes(reported, subject)))
    return parts
