"""How far a command is, on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer


@contextmanager
def progress(of: str, total: int) -> Iterator[Callable[[str, int], None]]:
    """A bar on a terminal, plain lines elsewhere; call ``advance(line, n)`` when n more of ``of`` are done.

    An empty line is not printed.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        count = 0

        def plain(line: str, n: int) -> None:
            nonlocal count
            count += n
            if line:
                typer.echo(f"[{min(count, total)}/{total}] {line}", err=True)

        yield plain
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(of, total=total)

        def drawn(line: str, n: int) -> None:
            if line:
                bar.console.print(line, markup=False, highlight=False)
            bar.advance(task, n)

        yield drawn
