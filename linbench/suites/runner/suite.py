"""The contract of a suite: its options, its cells, and how one cell is measured or evaluated.

A suite either measures a cell in rounds, each in a fresh process (``measure``), or evaluates it image by image in
this process (``evaluate``). Nothing here names a suite.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from linbench.records import Record, Status
from linbench.registry import Registry
from linbench.suites.runner.options import SuiteOptions
from linbench.suites.runner.ranks import Ranks
from linbench.suites.runner.sampling import SamplingConfig

#: All suites by name. ``@suite("latency", version=1)`` adds a factory that returns a ``Suite``. Raise the version
#: when numbers stop being comparable: it is part of every key.
suite = Registry("suite", group="linbench.suites")


class Key(Protocol):
    """All that moves a number: a frozen dataclass inside the suite, a JSON object in the record."""

    def to_json(self) -> dict[str, Any]:
        """Return the key of the record: JSON scalars, lists and objects by name."""
        ...

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> Self:
        """Return the key that ``to_json`` turned into ``entries``."""
        ...


K = TypeVar("K", bound=Key)
O = TypeVar("O", bound=SuiteOptions)  # noqa: E741 - the letter of its word


@dataclass(frozen=True)
class SearchStep:
    """The progress of a search.

    number: Of the candidate that starts, from 1.  changed: Its settings that are not those of the best so far.
    seconds: Since the search began.  record: In the last step.
    """

    number: int
    changed: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    record: Record | None = None


class Search(Protocol):
    """A search that decides part of a cell's key, and must run before the cell is measured."""

    @property
    def name(self) -> str:
        """What is searched for, for a person."""
        ...

    @property
    def seconds(self) -> float:
        """How long all candidates may take together, beside the first one."""
        ...

    @property
    def base(self) -> Any:
        """The key of the first candidate."""
        ...

    @property
    def candidates(self) -> int:
        """How many candidates there are, that at the start included, without those of other engines."""
        ...

    @property
    def engine_candidates(self) -> int:
        """How many candidates of other engines are tried; their time is not part of ``seconds``."""
        ...

    def is_complete(self, record: Record) -> bool:
        """Return whether a stored record says which settings the search chose, or that it chose none."""
        ...

    @property
    def searched(self) -> Sequence[str]:
        """The entries of a cell's key that the search decides."""
        ...

    @property
    def code_hash(self) -> str:
        """The hash of the code behind the search; a record with another one does not count."""
        ...

    def record_key(self) -> dict[str, Any]:
        """Return the key of the record that the search leaves."""
        ...

    def run(self, sampling: SamplingConfig, plugins: Sequence[Path]) -> Iterator[SearchStep]:
        """Yield a step as each candidate starts; the last step has the record of what was tried and chosen."""
        ...

    def with_settings(self, cell: "Cell[Any]", record: Record) -> "Cell[Any]":
        """Return ``cell`` under the settings that the search chose."""
        ...


@dataclass(frozen=True)
class Cell(Generic[K]):
    """One point of a suite.

    code_hash: Of the code behind its number.  modules: The arguments of ``provenance.code_hash`` that gave it.
    variables: Environment of the process that measures it.
    required_search: The search that its settings wait for; its key holds those that the search starts from.
    search: How its settings were chosen, for its record.
    unsupported: Why the model does not take this cell, where that is known before; its process is never started.
    """

    key: K
    code_hash: str
    modules: Mapping[str, Any]
    variables: Mapping[str, str] = field(default_factory=dict)
    required_search: Search | None = None
    search: Mapping[str, Any] = field(default_factory=dict)
    unsupported: str = ""


@dataclass(frozen=True)
class Outcome:
    """The result of one fresh process: a round's raw numbers, or the status that stands in their place."""

    status: Status
    reason: str = ""
    round: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    log: str = ""


@dataclass(frozen=True)
class Step:
    """The progress of an evaluation.

    done, total: Images of this process.  running: The score so far, in words.
    note: A line for the user, in the first step.
    record: In the last step of the first process.
    """

    done: int
    total: int
    running: str = ""
    note: str = ""
    record: Record | None = None


@dataclass(frozen=True)
class Work:
    """The work of one round of a cell, as far as it is known before.

    flops: Of one call of what is timed.  calls: Calls before the samples.  seconds: What else the round takes.
    window_s: The shortest sample, where one is several calls.
    search: The fraction of the budget that the search for a batch may take, with ``windows`` for each batch.
    """

    flops: float
    calls: int
    seconds: float = 0.0
    window_s: float = 0.0
    search: float = 0.0
    windows: int = 0


@dataclass(frozen=True)
class Suite(Generic[O, K]):
    """A named measurement.

    options: The class of its options.  key: The class of its keys.
    cells: Plans without measuring; raises ValueError that teaches.
    measure: ``(key, seconds, seed) -> Outcome``, in a fresh process; None where ``evaluate`` is given.
    trial: As ``measure``, for one candidate of a search; for suites whose cells require one.
    export: As ``measure``, for the artifact that a cell's engine loads; for suites that have such engines.
    evaluate: ``(cell, options, path of the record, ranks)``: yields a step for each image, in this process.
    work: ``(key) -> Work``, without data; for the estimate of a run's time.
    named_by: The entries of a key that tell a person which cell it is; ``size`` is height and width.
    examples: Command lines for the help, without ``linbench run``.
    """

    options: type[O]
    key: type[K]
    cells: Callable[[O], list[Cell[K]]]
    measure: Callable[[K, float, int], Outcome] | None = None
    trial: Callable[[K, float, int], Outcome] | None = None
    export: Callable[[K, float, int], Outcome] | None = None
    evaluate: Callable[[Cell[K], O, Path, Ranks], Iterator[Step]] | None = None
    named_by: tuple[str, ...] = ("backbone", "size", "dtype", "preset")
    examples: tuple[str, ...] = ()
    work: Callable[[K], Work] | None = None

    def cell_name(self, cell: Cell[K]) -> str:
        """Return the words that tell a person which cell it is."""
        entries = cell.key.to_json()
        words = (entry_text(entries, name) for name in self.named_by)
        return " ".join(word for word in words if word not in ("", "none"))


def deferred(module: str, name: str) -> Callable[..., Any]:
    """Return a function that calls ``module.name``, which it imports first: a suite's options need no torch."""

    def call(*arguments: Any) -> Any:
        return getattr(import_module(module), name)(*arguments)

    return call


def entry_text(entries: Mapping[str, Any], name: str) -> str:
    """Return an entry of a key as text; empty where there is no such entry.

    ``size`` is height and width; ``batch`` is named, and empty where it is 1; so is the engine where it is eager.
    """
    if name == "engine" and entries.get(name) == "eager":
        return ""
    if name == "batch":
        return f"batch {entries[name]}" if entries.get(name, 1) != 1 else ""
    if name == "size":
        return f"{entries['height']}x{entries['width']}" if "height" in entries else ""
    return str(entries.get(name, ""))
