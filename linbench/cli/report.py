"""``linbench report``: tables and figures from records."""

import json
import shutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from linbench.cli.refusal import choice, refuse, split
from linbench.provenance import code_hash
from linbench.records import Record, Store

#: The report of each suite: a module with ``tables``, ``as_json`` and ``write``; and what its records are of.
REPORTS = {
    "latency": ("linbench.reports.latency", "backbone"),
    "kernels": ("linbench.reports.kernels", "op"),
    **dict.fromkeys(
        ("coco", "dis", "coift", "hrsod", "imagenet", "ade20k"), ("linbench.reports.accuracy", "backbone")
    ),
}


def report(
    results: Annotated[Path, typer.Option(help="Folder of records.")] = Path("results"),
    out: Annotated[Path | None, typer.Option(help="Folder for Markdown, CSV and figures; default --results.")] = None,
    suite: Annotated[str, typer.Option(help="Suites, by comma; default all that have records.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Print the tables of all records; write files.

    Markdown, a long CSV, and each figure as PNG and SVG.
    """
    asked = [choice("--suite", name, tuple(REPORTS)) for name in split(suite)]
    store = Store(results)
    records = [record for record in store if not asked or record.key.get("suite") in asked]
    for path, reason in store.faults:
        typer.echo(f"left out: {path}: {reason}", err=True)
    if not records:
        of = f" of the suite {' or '.join(asked)}" if asked else ""
        refuse(f"--results {results}: no records{of} there; `linbench run --results {results}` makes some")
    print_tables(records, as_json)
    write_files(records, out or results)


def print_tables(records: Sequence[Record], as_json: bool) -> None:
    """Print the tables of ``records``, or their rows as JSON."""
    from linbench.reports.table import to_terminal

    rows: list[dict[str, Any]] = []
    for module, mine, present in _by_suite(records):
        if as_json:
            rows += module.as_json(mine, present)
            continue
        for table in module.tables(mine, present):
            typer.echo(to_terminal(table, width=shutil.get_terminal_size((100, 24)).columns) + "\n")
    if as_json:
        typer.echo(json.dumps(rows, indent=1))


def write_files(records: Sequence[Record], out: Path) -> None:
    """Write the tables and the figures of ``records`` under ``out``."""
    try:
        for module, mine, present in _by_suite(records):
            for path in module.write(mine, out, present):
                typer.echo(f"wrote {path}", err=True)
    except OSError as error:
        refuse(f"--out {out}: it cannot be written ({error.strerror or error}); name another folder")


def _by_suite(records: Sequence[Record]) -> list[tuple[Any, list[Record], dict[str, str]]]:
    """For each report whose suites have records: the report, the records, and the present code hashes."""
    found = []
    for module, subject in dict.fromkeys(REPORTS.values()):
        suites = [suite for suite, (of, _) in REPORTS.items() if of == module]
        mine = [record for record in records if record.key.get("suite") in suites]
        if mine:
            found.append((import_module(module), mine, present_hashes(mine, subject)))
    return found


def present_hashes(records: Sequence[Record], subject: str) -> dict[str, str]:
    """What each subject's measuring code hashes to now; a plug-in that is not loaded has none."""
    from linbench.reports.rows import measured

    found: dict[str, str] = {}
    for record in records:
        modules: Any = record.environment.get("modules")
        try:
            found[measured(record.key, subject)] = code_hash(modules["suite"], modules[subject])
        except (LookupError, TypeError):
            continue
    return found
