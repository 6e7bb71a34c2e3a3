"""The options of ``linbench run``: those of the runner and of the suites that the command line names.

``--suite`` and ``--plugin``, of the command line or of the file of ``--config``, are read first; what the suites
declare (``SuiteOptions``) then becomes typer options. An option of another suite does not exist, and the refusal
names the suite that has it.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from linbench.cli.completion import completion_of
from linbench.cli.refusal import load_plugins, refuse, refusing, split
from linbench.cli.run_config import Config, config_words, read_config, to_toml

if TYPE_CHECKING:
    from linbench.suites import Suite
    from linbench.suites.runner.options import Option, RunOptions, SuiteOptions

METAVARS = {str: "TEXT", int: "INTEGER", float: "FLOAT", Path: "PATH"}
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]  # click's, which typer brings along


@dataclass(frozen=True)
class Request:
    """A parsed command line.

    run: The runner's own options.  suites: Those named, in order.  options: Of each suite.
    config: The command line as the text of a file for ``--config``.
    """

    run: "RunOptions"
    suites: "Mapping[str, Suite[Any, Any]]"
    options: "Mapping[str, SuiteOptions]"
    config: str = ""


@dataclass(frozen=True)
class _Written:
    """The value of an option, and the text that it was read from."""

    text: str
    value: Any


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

    config_path = (_values(arguments, "--config") or [""])[-1]
    config = read_config(Path(config_path)) if config_path else {}
    plugins = [Path(text).resolve() for text in _early(arguments, config, "plugin")]
    load_plugins(plugins, registry)
    names = split(",".join(_early(arguments, config, "suite")[-1:] or ["latency"])) or refuse("--suite is empty")
    with refusing():
        suites = {name: registry[name].build() for name in names}
        declared = _declared(suites)
    command = _command(declared, summary, [line for built in suites.values() for line in built.examples])
    written = _read_words(command, arguments, declared, names)
    if config:
        with _naming(config_path):
            words = config_words(config, declared, lambda flag: _unknown(flag, declared, names))
            written = _read_words(command, words, declared, names, config_path) | written
    given = {flag: _value(declared[flag], entry) for flag, entry in written.items()}
    if plugins:
        given["--plugin"] = tuple(plugins)
    with refusing():
        options = {name: from_flags(built.options, given) for name, built in suites.items()}
        run = from_flags(RunOptions, given)
    return Request(run, suites, options, to_toml({flag: _texts(entry) for flag, entry in written.items()}, declared))


def command_of(arguments: Sequence[str]) -> TyperCommand:
    """Return the command whose options are those of the suites that ``arguments`` name, for completion."""
    from linbench.suites import suite as registry

    names = split((_values(arguments, "--suite") or ["latency"])[-1])
    return _command(_declared({name: registry[name].build() for name in names if name in registry}), "", ())


class RunCommand(TyperCommand):
    """The command ``run``, whose options depend on the suites that its arguments name."""

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return options, or values of the option that stands before ``incomplete``."""
        try:
            command = command_of(ctx.args)
        except Exception:  # noqa: BLE001 - Tab never prints an error: a half-typed name of a suite is no mistake
            return []
        inner = command.make_context("run", [], parent=ctx.parent, resilient_parsing=True)
        before = ctx.args[-1] if ctx.args else ""
        for parameter in command.params:
            if before in parameter.opts and not getattr(parameter, "is_flag", False):
                return list(parameter.shell_complete(inner, incomplete))
        return list(command.shell_complete(inner, incomplete))


def _declared(suites: "Mapping[str, Suite[Any, Any]]") -> "dict[str, Option]":
    from linbench.suites.runner.options import RunOptions

    return _merged({"linbench run": RunOptions} | {name: built.options for name, built in suites.items()})


def _early(arguments: Sequence[str], config: Config, name: str) -> list[str]:
    """Return the texts of an option that is read before the others, of the command line or else of the file."""
    if given := _values(arguments, f"--{name}"):
        return given
    value = config.get(name, [])
    listed = value if isinstance(value, list) else [value]
    texts = [str(entry) for entry in listed]
    return [",".join(texts)] if name == "suite" and texts else texts


@contextmanager
def _naming(config_path: str) -> Iterator[None]:
    """Turn what is wrong in the file of ``--config`` into a refusal that names it."""
    try:
        yield
    except ValueError as error:
        refuse(f"--config {config_path}: {error}")


def _read_words(
    command: TyperCommand,
    words: Sequence[str],
    declared: "Mapping[str, Option]",
    names: Sequence[str],
    config_path: str = "",
) -> dict[str, Any]:
    """Return by flag what the words of a command line, or of a file, give; exits after ``--help``."""
    try:
        values = command.main(list(words), prog_name="linbench run", standalone_mode=False)
    except USAGE_ERROR as error:
        refuse(f"--config {config_path}: " * bool(config_path) + _refusal(error, declared, names))
    if not isinstance(values, dict):  # --help was printed
        raise typer.Exit(values or 0)
    return _given(values, declared)


def _value(option: "Option", entry: Any) -> Any:
    """Return the value of an option that is given."""
    if isinstance(entry, list):
        return option.gather([single.value for single in entry])
    return entry if isinstance(entry, bool) else entry.value


def _texts(entry: Any) -> bool | list[str]:
    """Return the texts of an option that is given; of a switch whether it is on."""
    if isinstance(entry, bool):
        return entry
    return [single.text for single in (entry if isinstance(entry, list) else [entry])]


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
    details |= {"autocompletion": completion_of(option)}
    if option.repeatable:
        return Annotated[list[str] | None, typer.Option(option.flag, **details)]
    return Annotated[str | None, typer.Option(option.flag, **details)]


def _border(option: "Option") -> Callable[[str], Any]:
    """Return the parser of an option for typer, which keeps the sentence of the refusal."""

    def parse_text(text: str) -> Any:
        try:
            return _Written(text, option.read(text))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    return parse_text


def _given(values: Mapping[str, Any], declared: "Mapping[str, Option]") -> dict[str, Any]:
    """Return what the command line gives, by flag: a switch's bool, or a text with its value, or several."""
    given = {}
    for flag, option in declared.items():
        value = values[_identifier(option)]
        if value is None or (option.repeatable and not value):
            continue
        given[flag] = list(value) if option.repeatable else value
    return given


def _refusal(error: Exception, declared: "Mapping[str, Option]", names: Sequence[str]) -> str:
    """Return one sentence for a usage error: of an unknown option the suites that have it, or the nearest one."""
    flag = getattr(error, "option_name", None)
    if not flag or not hasattr(error, "possibilities"):
        return str(getattr(error, "message", error))
    return _unknown(flag, declared, names)


def _unknown(flag: str, declared: "Mapping[str, Option]", names: Sequence[str]) -> str:
    """Return the sentence about an option that no named suite has."""
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
