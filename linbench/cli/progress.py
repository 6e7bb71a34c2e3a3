"""Progress of a command, on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer


@contextmanager
def progress(unit: str, total: int) -> Iterator[Callable[[str, int], None]]:
    """Show a bar on a terminal, plain lines elsewhere; call ``advance(line, n)`` when n more units are done.

    An empty line is not printed.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        count = 0

        def print_line(line: str, n: int) -> None:
            nonlocal count
            count += n
            if line:
                typer.echo(f"[{min(count, total)}/{total}] {line}", err=True)

        yield print_line
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(unit, total=total)

        def update_bar(line: str, n: int) -> None:
            if line:
                bar.console.print(line, markup=False, highlight=False)
            bar.advance(task, n)

        yield update_bar
