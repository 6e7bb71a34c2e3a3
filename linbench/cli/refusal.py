"""How the command line refuses: one sentence on standard error, exit code 2, no traceback."""

import json
import os
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import typer

from linbench.registry import PluginFailed, Registry, UnknownName, load_plugin
from linbench.system.files import cache_dir


def refuse(sentence: str) -> NoReturn:
    """Say what is wrong and what is allowed; end with exit code 2."""
    typer.echo(f"linbench: {sentence}", err=True)
    raise typer.Exit(2)


@contextmanager
def refusing() -> Iterator[None]:
    """Turn the errors that a user's input causes into refusals."""
    try:
        yield
    except PluginFailed as error:
        refuse(f"{error} (traceback in {log(error)})")
    except (ValueError, UnknownName) as error:
        refuse(str(error))


def choice(option: str, value: str, allowed: Sequence[str]) -> str:
    """``value`` where it is allowed; otherwise refuse, with the nearest one."""
    if value in allowed:
        return value
    near = get_close_matches(value, allowed, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    refuse(f"{option} {value}: {hint}allowed are {', '.join(allowed)}")


def split(text: str) -> list[str]:
    """The parts of a comma-separated list, blanks dropped."""
    return [part.strip() for part in text.split(",") if part.strip()]


def pairs(flag: str, texts: Sequence[str], example: str) -> dict[str, Any]:
    """``NAME=VALUE`` pairs; a value is read as JSON where it is that, and as text otherwise."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            refuse(f"{flag} {text}: write NAME=VALUE, as {example}")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found


def load_plugins(files: Sequence[Path], *registries: Registry) -> None:
    """Import installed plug-ins of ``registries`` and the files given; a failing installed one is only named."""
    for registry in registries:
        try:
            registry.load_entry_points()
        except PluginFailed as error:
            typer.echo(f"linbench: left out: {error} (traceback in {log(error)})", err=True)
    with refusing():
        for file in files:
            load_plugin(file)


def log(error: BaseException) -> Path:
    """Append the traceback of ``error`` to linbench's log; return where that is."""
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / "linbench.log"
    with path.open("a", encoding="utf-8") as file:
        file.write(time.strftime("%Y-%m-%dT%H:%M:%S%z\n") + "".join(traceback.format_exception(error)) + "\n")
    return path


def explain_threads(requested: int | None, processes: int = 1) -> None:
    """Say once why the default number of threads is not the number of cores, where it is not."""
    from linbench.system.threads import default_threads

    chosen = default_threads(processes)
    if requested is None and chosen.reason and os.environ.get("RANK", "0") == "0":
        typer.echo(f"linbench: {chosen}", err=True)
