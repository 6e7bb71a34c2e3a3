"""What a cell that is not measured says: a command that the command line takes."""

import shlex

import pytest
import typer

from linbench.cli import app
from linbench.reports.paper import masks, tables
from linbench.reports.paper.render import commands_of
from tests.reports.paper.cases import evidence

COMMANDS = [
    command
    for builds in tables.TABLES.values()
    for build in builds
    for command in commands_of(build(evidence([], counts={}, stages={})))
]
FIGURES = [masks.how(name) for name in masks.FIGURES]


@pytest.mark.parametrize("command", [*dict.fromkeys(COMMANDS), *FIGURES])
def test_each_part_of_the_command_is_one_that_the_command_line_takes(command):
    for part in command.split(" && "):
        words = shlex.split(part.split(" > ")[0])
        assert words[0] == "linbench"
        found = typer.main.get_command(app)
        context, rest = None, words[1:]
        while hasattr(found, "commands"):
            context = found.make_context(words[0], [rest[0]], parent=context)
            found, rest = found.commands[rest[0]], rest[1:]
        found.make_context("linbench", rest, parent=context)


def test_there_is_a_command_for_every_cell_that_lacks_a_number():
    assert len(set(COMMANDS)) > 60
    for builds in tables.TABLES.values():
        for build in builds:
            assert all(cell.command for cell in build(evidence([], counts={}, stages={})).cells())
