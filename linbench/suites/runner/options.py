"""Options as frozen dataclasses: each field carries what the command line, its help and its validation need.

    @dataclass(frozen=True, kw_only=True)
    class MyOptions(SuiteOptions):
        sides: tuple[int, ...] = option((512,), "Sides of the input, px.", flag="--side", kind=int, comma=True)

A suite names such a class, and ``linbench run --suite my`` has the option ``--side``. Values are validated when an
object is made, so that Python users get the same messages. No torch here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from linbench.choices import choose, read_pair, split
from linbench.suites.runner.shards import Shard, read_shard

GENERAL = "Run"  # the help panel of the runner's own options


@dataclass(frozen=True)
class Option:
    """How one field is written on the command line, and which values it takes.

    help: One sentence.  flag: ``--name``, or ``--name/--no-name`` of a switch that can also be turned off.
    kind: Type of a single value: str, int, float, bool (a switch) or Path.
    choices: Members of an enum that are allowed.  minimum: Of a number.
    comma: Whether several values are separated by commas.  repeatable: Whether the option may be given again.
    parse: Reads a value that ``kind`` and ``choices`` do not describe; raises ValueError with a whole sentence.
    gather: Joins the values of a repeatable option.  panel: Heading in the help.  metavar: Placeholder in the help.
    shown: The default as help shows it; empty where ``help`` says it.
    """

    help: str
    flag: str = ""
    kind: type = str
    choices: tuple[StrEnum, ...] = ()
    minimum: float | None = None
    comma: bool = False
    repeatable: bool = False
    parse: Callable[[str], Any] | None = None
    gather: Callable[[Iterable[Any]], Any] = tuple
    panel: str = GENERAL
    metavar: str = ""
    shown: str = ""

    @property
    def name(self) -> str:
        """The flag as messages name it."""
        return self.flag.partition("/")[0]

    def reads_like(self, other: "Option") -> bool:
        """Return whether both options read the same texts, so that one flag can stand for both."""
        ours, theirs = ((o.flag, o.kind, o.choices, o.comma, o.repeatable, o.metavar) for o in (self, other))
        return ours == theirs

    def read(self, text: str) -> Any:
        """Return the value that ``text`` means; raises ValueError that teaches."""
        if self.parse:
            return self.parse(text)
        if not self.comma:
            return self.validated(self._single(text))
        values = tuple(dict.fromkeys(self._single(part) for part in split(text)))
        if not values:
            raise ValueError(f"{self.name} is empty")
        return self.validated(values)

    def validated(self, value: Any) -> Any:
        """Return ``value`` with texts turned into members of the enum; raises ValueError that teaches."""
        if value is None:
            return None
        if self.comma or (self.repeatable and isinstance(value, tuple)):
            return tuple(self._validated_single(single) for single in value)
        return self._validated_single(value)

    def _single(self, text: str) -> Any:
        if self.choices:
            return text
        try:
            return self.kind(text)
        except ValueError:
            number = "a whole number" if self.kind is int else "a number"
            raise ValueError(f"{self.name} {text}: write {number}") from None

    def _validated_single(self, value: Any) -> Any:
        if self.choices:
            return choose(self.name, value, self.choices)
        if self.kind is int and self.parse is None and not isinstance(value, int):
            raise ValueError(f"{self.name} {value}: write a whole number")
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"{self.name} {value}: at least {self.minimum:g} is allowed")
        return value


def option(default: Any, help: str, **details: Any) -> Any:
    """Declare a field of an options class; ``details`` are fields of ``Option``."""
    metadata = {"option": Option(help, **details)}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def pairs(flag: str, example: str) -> dict[str, Any]:
    """Return the details of a repeatable option ``NAME=VALUE`` whose values make a dictionary."""
    return {
        "flag": flag,
        "parse": lambda text: read_pair(flag, text, example),
        "gather": dict,
        "repeatable": True,
        "metavar": "NAME=VALUE",
    }


def options_of(cls: type) -> dict[str, Option]:
    """Return the options of an options class by field, those of the class itself before those that it inherits."""
    declared = {entry.name: entry for entry in fields(cls)}
    order = [name for base in cls.__mro__ for name in getattr(base, "__annotations__", {}) if name in declared]
    options = {}
    for name in dict.fromkeys(order):
        details: Option | None = declared[name].metadata.get("option")
        if details:
            options[name] = details if details.flag else replace(details, flag=f"--{name.replace('_', '-')}")
    return options


@dataclass(frozen=True, kw_only=True)
class SuiteOptions:
    """The options of a suite: the base of its own class. Raises ValueError for a value that is not allowed."""

    def __post_init__(self) -> None:
        """Validate every field that an ``option`` declares."""
        for name, declared in options_of(type(self)).items():
            object.__setattr__(self, name, declared.validated(getattr(self, name)))


def from_flags(cls: type[Any], given: Mapping[str, Any]) -> Any:
    """Return the options of a class from the values of flags; a flag that is not given keeps its default."""
    declared = options_of(cls)
    return cls(**{name: given[details.flag] for name, details in declared.items() if details.flag in given})


class Redo(StrEnum):
    """Which records are measured again."""

    STALE = "stale"
    FAILED = "failed"
    DISTURBED = "disturbed"
    ALL = "all"


@dataclass(frozen=True, kw_only=True)
class RunOptions(SuiteOptions):
    """The options of ``linbench run`` that every suite shares."""

    suites: tuple[str, ...] = option(
        ("latency",),
        "Suites, by comma; `linbench list` shows all; each has options of its own.",
        flag="--suite",
        comma=True,
        shown="latency",
    )
    results: Path = option(Path("results"), "Folder of records.", kind=Path, shown="results")
    rounds: int = option(3, "Fresh processes per cell; 3 or more give an interval.", kind=int, minimum=1, shown="3")
    cell_seconds: float = option(
        20.0, "Sampling budget of one round of a cell, s.", kind=float, minimum=0, shown="20"
    )
    timeout: float = option(900.0, "Longest life of one process, s.", kind=float, minimum=1, shown="900")
    wait: float = option(
        60.0,
        "Longest wait for other programs to stop computing, s; 0: never wait, repeat no disturbed round.",
        kind=float,
        minimum=0,
        shown="60",
    )
    seed: int = option(0, "Seed of the order of cells and of random weights.", kind=int, shown="0")
    redo: Redo | None = option(None, "Measure again: stale, failed, disturbed or all.", choices=tuple(Redo))
    dry_run: bool = option(False, "Print the cells; measure nothing.", kind=bool)
    as_json: bool = option(False, "Print JSON instead of tables.", flag="--json", kind=bool)
    shard: Shard | None = option(
        None,
        "i/n: the i-th of n parts of the plan, for several machines; `linbench merge` joins their folders.",
        parse=read_shard,
        metavar="I/N",
    )
    config: Path | None = option(None, "A TOML file of options; those given here win over it.", kind=Path)
    print_config: bool = option(False, "Print such a file for this command line; measure nothing.", kind=bool)
    plugins: tuple[Path, ...] = option(
        (),
        "A Python file that registers backbones or suites; repeatable.",
        flag="--plugin",
        kind=Path,
        repeatable=True,
    )
