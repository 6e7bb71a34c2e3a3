"""What ``choose``, ``compare`` and ``merge`` share: the cells of a folder, and output as wide as the terminal."""

import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from linbench.cli.refusal import echo
from linbench.records import Store
from linbench.reports.render.plain_text import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from linbench.reports.decide.comparable_cells import ComparableCell
    from linbench.reports.render.table import Table


def read_cells(folder: Path) -> "tuple[list[ComparableCell], list[str]]":
    """Return the cells of a results folder, and a fault for each file and record that gives none."""
    from linbench.reports.staleness import present_cells

    store = Store(folder)
    cells, faults = present_cells(list(store))
    return cells, [*(f"{path}: {reason}" for path, reason in store.faults), *(f"{folder}: {f}" for f in faults)]


def echo_wrapped(text: str, indent: str = "") -> None:
    """Print text that comes from files, without control characters, in lines that fit the terminal."""
    lines = textwrap.wrap(
        plain(text),
        _width(),
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    typer.echo("\n".join(lines))


def print_tables(tables: "Iterable[Table]") -> None:
    """Print tables in columns that fit the terminal."""
    from linbench.reports.render.table import to_terminal

    for table in tables:
        typer.echo(to_terminal(table, _width()) + "\n")


def echo_commands(lines: "Iterable[str]") -> None:
    """Print lines, the commands among them whole, to be copied, and the others wrapped."""
    for line in lines:
        if line.startswith("linbench "):
            echo(line, indent="  ")
        else:
            echo_wrapped(line, indent="" if line.endswith(":") else "  ")


def _width() -> int:
    return shutil.get_terminal_size((80, 24)).columns
