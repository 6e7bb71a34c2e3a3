"""``linbench report``: tables and figures from records."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from linbench.cli.refusal import refuse
from linbench.provenance import code_hash
from linbench.records import Record, Store


def report(
    results: Annotated[Path, typer.Option(help="Folder of records.")] = Path("results"),
    out: Annotated[Path | None, typer.Option(help="Folder for Markdown, CSV and figures; default --results.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Print the tables of all records; write files.

    Markdown, a long CSV, and each figure as PNG and SVG.
    """
    store = Store(results)
    records = list(store)
    for path, reason in store.faults:
        typer.echo(f"left out: {path}: {reason}", err=True)
    if not records:
        refuse(f"--results {results}: no records there; `linbench run --results {results}` makes some")
    print_tables(records, as_json)
    write_files(records, out or results)


def print_tables(records: Sequence[Record], as_json: bool) -> None:
    """Print the tables of ``records``, or their rows as JSON."""
    from linbench.reports import latency
    from linbench.reports.table import to_terminal

    present = _present_hashes(records)
    if as_json:
        typer.echo(json.dumps(latency.as_json(records, present), indent=1))
    else:
        for table in latency.tables(records, present):
            typer.echo(to_terminal(table, width=shutil.get_terminal_size((100, 24)).columns) + "\n")


def write_files(records: Sequence[Record], out: Path) -> None:
    """Write the tables and the figures of ``records`` under ``out``."""
    from linbench.reports import latency

    try:
        for path in latency.write(records, out, _present_hashes(records)):
            typer.echo(f"wrote {path}", err=True)
    except OSError as error:
        refuse(f"--out {out}: it cannot be written ({error.strerror or error}); name another folder")


def _present_hashes(records: Sequence[Record]) -> dict[str, str]:
    """What each backbone's measuring code hashes to now; a plug-in that is not loaded has none."""
    found: dict[str, str] = {}
    for record in records:
        modules: Any = record.environment.get("modules")
        try:
            found[str(record.key["backbone"])] = code_hash(modules["suite"], modules["backbone"])
        except (LookupError, TypeError):
            continue
    return found
