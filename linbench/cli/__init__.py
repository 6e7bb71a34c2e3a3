"""The command line: each command is one file, and torch is imported when one runs."""

import warnings
from pathlib import Path
from typing import Any

import typer

from linbench import __version__
from linbench.cli import (
    check,
    choose,
    compare,
    data,
    doctor,
    export,
    inspect,
    merge,
    paper,
    predict,
    profile,
    report,
    run,
    train,
    weights,
)
from linbench.cli.run_options import RunCommand

app = typer.Typer(
    name="linbench",
    help="Which image backbone, at which resolution, on my machine? Measured, with conditions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(
    "run",
    cls=RunCommand,
    add_help_option=False,  # the command itself prints its help, which holds the options of the suites
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
)(run.run)
app.command("train")(train.train)
app.command("predict")(predict.predict)
app.command("export")(export.export)
app.command("report")(report.report)
app.command("paper")(paper.paper)
app.command("choose")(choose.choose)
app.command("compare")(compare.compare)
app.command("merge")(merge.merge)
app.command("list")(inspect.list_)
app.command("show")(inspect.show)
app.command("profile")(profile.profile)
app.command("doctor")(doctor.doctor)
app.command("check")(check.check)
app.add_typer(data.app, name="data")
app.add_typer(weights.app, name="weights")


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"linbench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> None:
    """Run the command line; exit codes: 0 all ok, 1 some cells failed, 2 usage, 3 some cells disturbed."""
    warnings.formatwarning = _plain
    app()


def _plain(message: Any, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    """Format a warning of linbench as one line like its messages, and others as Python does."""
    if category is UserWarning and Path(filename).is_relative_to(Path(__file__).parent.parent):
        return f"linbench: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"
