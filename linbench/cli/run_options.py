"""The options of ``linbench run``: those of the runner and of the suites that the command line names.

``--suite`` and ``--plugin`` are read first; what the suites declare (``SuiteOptions``) then becomes typer options. An
option of another suite does not exist, and the refusal names the suite that has it.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from linbench.cli.refusal import load_plugins, refuse, refusing, split

if TYPE_CHECKING:
    from linbench.suites import Suite
    from linbench.suites.runner.options import Option, RunOptions, SuiteOptions

METAVARS = {str: "TEXT", int: "INTEGER", float: "FLOAT", Path: "PATH"}
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]  # click's, which typer brings along


@dataclass(frozen=True)
class Request:
    """A parsed command line.

    run: The runner's own options.  suites: Those named, in order.  options: Of each suite.
    """

    run: "RunOptions"
    suites: "Mapping[str, Suite[Any, Any]]"
    options: "Mapping[str, SuiteOptions]"


class _Command(TyperCommand):
    """A command whose help lists options under the headings that they name."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, panel by panel."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if row := parameter.get_help_record(ctx):
                panels.setdefault(getattr(parameter, "rich_help_panel", None) or "Help", []).append(row)
        for name, rows in panels.items():
            with formatter.section(name):
                formatter.write_dl(rows)


def parse(arguments: Sequence[str], summary: str) -> Request:
    """Parse the arguments of ``linbench run``; refuses what is wrong in one sentence, and exits after ``--help``.

    summary: The first paragraphs of the help.
    """
    from linbench.suites import suite as registry
    from linbench.suites.runner.options import RunOptions, from_flags

    plugins = [Path(text).resolve() for text in _values(arguments, "--plugin")]
    load_plugins(plugins, registry)
    names = split((_values(arguments, "--suite") or ["latency"])[-1]) or refuse("--suite is empty")
    with refusing():
        suites = {name: registry[name].build() for name in names}
        declared = _merged({"linbench run": RunOptions} | {name: built.options for name, built in suites.items()})
    command = _command(declared, summary, [line for built in suites.values() for line in built.examples])
    try:
        values = command.main(list(arguments), prog_name="linbench run", standalone_mode=False)
    except USAGE_ERROR as error:
        refuse(_refusal(error, declared, names))
    if not isinstance(values, dict):  # --help was printed
        raise typer.Exit(values or 0)
    given = _given(values, declared)
    if plugins:
        given["--plugin"] = tuple(plugins)
    with refusing():
        options = {name: from_flags(built.options, given) for name, built in suites.items()}
        run = from_flags(RunOptions, given)
    return Request(run, suites, options)


def _values(arguments: Sequence[str], flag: str) -> list[str]:
    """Return the values of an option on a command line that is not parsed yet."""
    values = [text.partition("=")[2] for text in arguments if text.startswith(f"{flag}=")]
    return values + [after for text, after in pairwise(arguments) if text == flag]


def _merged(classes: "Mapping[str, type[SuiteOptions]]") -> "dict[str, Option]":
    """Return the options of all classes by flag; raises ValueError where two suites read one flag differently."""
    from linbench.suites.runner.options import options_of

    declared: dict[str, Option] = {}
    owners: dict[str, str] = {}
    suites_first = sorted(classes, key=lambda name: name == "linbench run")
    for owner in suites_first:
        for option in options_of(classes[owner]).values():
            flag = option.flag
            if flag in declared and not option.reads_like(declared[flag]):
                raise ValueError(
                    f"--suite: {owners[flag]} and {owner} read {option.name} differently; run them one by one"
                )
            declared.setdefault(flag, option)
            owners.setdefault(flag, owner)
    return declared


def _command(declared: "Mapping[str, Option]", summary: str, examples: Iterable[str]) -> TyperCommand:
    """Return the command that takes these options and returns their values."""

    def collect(**values: Any) -> dict[str, Any]:
        return values

    collect.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(_identifier(option), inspect.Parameter.KEYWORD_ONLY, default=None, annotation=note)
            for option in declared.values()
            for note in [_annotation(option)]
        ]
    )
    collect.__annotations__ = {_identifier(option): _annotation(option) for option in declared.values()}
    lines = "\n".join(f"  linbench run {example}" for example in dict.fromkeys(examples))
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command(cls=_Command, help=f"{summary}\n\n\b\nExamples:\n{lines}")(collect)
    command = typer.main.get_command(app)
    assert isinstance(command, TyperCommand)
    return command


def _identifier(option: "Option") -> str:
    return "option_" + option.name.removeprefix("--").replace("-", "_")


def _annotation(option: "Option") -> Any:
    """Return the typer annotation of an option; ``None`` stands for one that is not given."""
    shown = f"{option.help} [default: {option.shown}]" if option.shown else option.help
    details: dict[str, Any] = {"help": shown, "rich_help_panel": option.panel, "show_default": False}
    if option.kind is bool:
        return Annotated[bool | None, typer.Option(option.flag, **details)]
    details |= {"parser": _border(option), "metavar": option.metavar or METAVARS[option.kind]}
    if option.repeatable:
        return Annotated[list[str] | None, typer.Option(option.flag, **details)]
    return Annotated[str | None, typer.Option(option.flag, **details)]


def _border(option: "Option") -> Callable[[str], Any]:
    """Return the parser of an option for typer, which keeps the sentence of the refusal."""

    def parse_text(text: str) -> Any:
        try:
            return option.read(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    return parse_text


def _given(values: Mapping[str, Any], declared: "Mapping[str, Option]") -> dict[str, Any]:
    """Return the values of the flags that the command line gives."""
    given = {}
    for flag, option in declared.items():
        value = values[_identifier(option)]
        if value is None or (option.repeatable and not value):
            continue
        given[flag] = option.gather(value) if option.repeatable else value
    return given


def _refusal(error: Exception, declared: "Mapping[str, Option]", names: Sequence[str]) -> str:
    """Return one sentence for a usage error: of an unknown option the suites that have it, or the nearest one."""
    flag = getattr(error, "option_name", None)
    if not flag or not hasattr(error, "possibilities"):
        return str(getattr(error, "message", error))
    flags = [part for option in declared.values() for part in option.flag.split("/")]
    who = f"the suite {names[0]} has" if len(names) == 1 else f"the suites {' and '.join(names)} have"
    owners = _suites_with(flag)
    nearest = get_close_matches(flag, flags, n=1, cutoff=0.6)
    if owners:
        hint = f"{', '.join(owners)} {'has' if len(owners) == 1 else 'have'} it"
    else:
        hint = f"did you mean {nearest[0]}?" if nearest else "no suite has it"
    return f"{flag}: {who} no such option ({hint}); `linbench run --suite {','.join(names)} --help` lists them"


def _suites_with(flag: str) -> list[str]:
    """Return the names of all suites that have an option."""
    from linbench.suites import suite as registry
    from linbench.suites.runner.options import options_of

    return [
        name
        for name in registry
        if any(flag in option.flag.split("/") for option in options_of(registry[name].build().options).values())
    ]
