"""Progress of a command, on standard error."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EVERY_SECONDS = 10.0  # between two lines of a countdown, where there is no terminal


class Advance(Protocol):
    """Reports progress: call it with a line, empty for none, when n more units are done."""

    def __call__(self, line: str, n: int) -> None:
        """Print a line and count n units."""
        ...

    def now(self, text: str) -> None:
        """Say what begins."""
        ...

    def countdown(self, text: str) -> None:
        """Say what is waited for; call it about once per second."""
        ...


@contextmanager
def progress(unit: str, total: int) -> Iterator[Advance]:
    """Show a bar on a terminal, plain lines elsewhere; call ``advance(line, n)`` when n more units are done."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(total)
        return
    what = TextColumn("{task.description}", markup=False)
    columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(), what)
    with Progress(*columns, console=console, refresh_per_second=2) as bar:
        yield _Bar(bar, bar.add_task(unit, total=total))


class _Lines:
    """Progress as plain lines."""

    def __init__(self, total: int) -> None:
        self._total, self._count = total, 0
        self._printed = -EVERY_SECONDS

    def __call__(self, line: str, n: int) -> None:
        self._count += n
        self._printed = -EVERY_SECONDS
        if line:
            typer.echo(f"[{min(self._count, self._total)}/{self._total}] {line}", err=True)

    def now(self, text: str) -> None:
        typer.echo(text, err=True)

    def countdown(self, text: str) -> None:
        if time.monotonic() - self._printed >= EVERY_SECONDS:
            self._printed = time.monotonic()
            typer.echo(text, err=True)


class _Bar:
    """Progress as a bar, with what happens now beside it."""

    def __init__(self, bar: "Progress", task: "TaskID") -> None:
        self._bar, self._task = bar, task

    def __call__(self, line: str, n: int) -> None:
        if line:
            self._bar.console.print(line, markup=False, highlight=False)
        self._bar.advance(self._task, n)

    def now(self, text: str) -> None:
        self._bar.update(self._task, description=text)

    def countdown(self, text: str) -> None:
        self.now(text)
