"""How the command line refuses: one sentence on standard error, exit code 2, no traceback."""

import os
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import typer

from linbench.choices import choose, read_pair
from linbench.choices import split as split
from linbench.registry import PluginFailed, Registry, UnknownName, load_plugin
from linbench.reports.render.plain_text import plain, without_middle
from linbench.system.files import cache_dir

LONGEST = 2000  # characters of a refusal


def refuse(message: str) -> NoReturn:
    """Print what is wrong and what is allowed, in one line whatever a file's name or text holds; exit with code 2."""
    typer.echo(f"linbench: {without_middle(plain(message), LONGEST)}", err=True)
    raise typer.Exit(2)


def echo(text: str, indent: str = "", err: bool = False) -> None:
    """Print text that comes from files, without control characters, as one line."""
    typer.echo(indent + plain(text), err=err)


def echo_faults(faults: Sequence[str]) -> None:
    """Name on standard error what was left out, before the output; ``exit_if`` repeats their number after it."""
    for fault in faults:
        echo(f"left out: {fault}", err=True)


def exit_if(failed: bool, faults: Sequence[str]) -> None:
    """End with exit code 1 where the command failed or left something out."""
    if faults:
        typer.echo(f"linbench: {len(faults)} left out; named above", err=True)
    if failed or faults:
        raise typer.Exit(1)


@contextmanager
def refusing() -> Iterator[None]:
    """Turn errors that a user's input causes into refusals."""
    try:
        yield
    except PluginFailed as error:
        refuse(f"{error} (traceback in {log(error)})")
    except (ValueError, UnknownName) as error:
        refuse(str(error))


def choice(option: str, value: str, allowed: Sequence[str]) -> str:
    """Return ``value`` where it is allowed; otherwise refuse and name the nearest."""
    with refusing():
        return choose(option, value, allowed)


def pairs(flag: str, texts: Sequence[str], example: str) -> dict[str, Any]:
    """Parse ``NAME=VALUE`` pairs; a value is read as JSON where it is valid, and as text otherwise."""
    with refusing():
        return dict(read_pair(flag, text, example) for text in texts)


def load_plugins(files: Sequence[Path], *registries: Registry) -> None:
    """Import the installed plug-ins of ``registries``, naming those that fail, and the plug-in ``files``."""
    for registry in registries:
        try:
            registry.load_entry_points()
        except PluginFailed as error:
            typer.echo(f"linbench: left out: {error} (traceback in {log(error)})", err=True)
    with refusing():
        for file in files:
            load_plugin(file)


def log(error: BaseException) -> Path:
    """Append the traceback of ``error`` to linbench's log and return the log's path."""
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / "linbench.log"
    with path.open("a", encoding="utf-8") as file:
        file.write(time.strftime("%Y-%m-%dT%H:%M:%S%z\n") + "".join(traceback.format_exception(error)) + "\n")
    return path


def explain_threads(requested: int | None, processes: int = 1) -> None:
    """Print once why the default number of threads is not the number of cores, where it is not."""
    from linbench.system.threads import default_threads

    chosen = default_threads(processes)
    if requested is None and chosen.reason and os.environ.get("RANK", "0") == "0":
        typer.echo(f"linbench: {chosen}", err=True)
