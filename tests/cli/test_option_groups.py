"""A command of grouped options has the options of its groups, and gets the groups as values."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from linbench.cli.option_groups import grouped_options


@dataclass(frozen=True)
class Shape:
    sides: Annotated[int, typer.Argument(min=3)]
    name: Annotated[str, typer.Option(help="Name of the shape.")] = "square"


@dataclass(frozen=True)
class Output:
    as_json: Annotated[bool, typer.Option("--json")] = False


@pytest.fixture
def app():
    """A command that prints its groups."""
    app = typer.Typer()

    @app.command()
    @grouped_options
    def draw(shape: Shape, output: Output) -> None:
        """Draw a shape."""
        typer.echo(f"{shape} {output}")

    return app


def test_values_arrive_in_their_groups_and_defaults_fill_the_rest(app):
    result = CliRunner().invoke(app, ["4", "--json"])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{Shape(4)} {Output(as_json=True)}\n"


def test_help_and_validation_are_those_of_the_fields(app):
    text = CliRunner().invoke(app, ["--help"]).stdout
    assert "Draw a shape." in text and "Name of the shape." in text and "--json" in text
    assert CliRunner().invoke(app, ["2"]).exit_code == 2
    assert CliRunner().invoke(app, []).exit_code == 2
