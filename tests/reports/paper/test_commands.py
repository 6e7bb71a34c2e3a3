"""What a cell that is not measured says: a command that the command line takes."""

import shlex

import pytest
import typer

from linbench.cli import app
from linbench.reports.paper import masks
from linbench.reports.paper.render import commands_of
from linbench.reports.paper.spec import table_specs
from tests.reports.paper.cases import build_table, evidence

EMPTY = [build_table(name, evidence([], models={}, stages={})) for name in table_specs()]
COMMANDS = [command for table in EMPTY for command in commands_of(table)]
FIGURES = [masks.commands(number) for number in masks.FIGURES]


@pytest.mark.parametrize("command", [*dict.fromkeys(COMMANDS), *FIGURES])
def test_each_part_of_the_command_is_one_that_the_command_line_takes(command):
    for part in command.split(" && "):
        words = shlex.split(part.split(" > ")[0])
        assert words[0] == "linbench"
        command_line = typer.main.get_command(app)
        context, rest = None, words[1:]
        while hasattr(command_line, "commands"):
            context = command_line.make_context(words[0], [rest[0]], parent=context)
            command_line, rest = command_line.commands[rest[0]], rest[1:]
        command_line.make_context("linbench", rest, parent=context)


def test_there_is_a_command_for_every_cell_that_lacks_a_number():
    assert len(set(COMMANDS)) > 60
    assert all(cell.command for table in EMPTY for cell in table.cells())
