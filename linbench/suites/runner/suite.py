"""What a suite is: cells to measure, and how one cell is measured once in a process of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from linbench.records import Status
from linbench.registry import Registry
from linbench.suites.runner.options import BACKBONES
from linbench.suites.runner.resolutions import Size

if TYPE_CHECKING:
    import torch

    from linbench.suites.accuracy.task import Task
    from linbench.suites.latency.search import Search

#: All suites by name. ``@suite("latency", version=1)`` adds a factory that returns a ``Suite``. Raise the version
#: when numbers stop being comparable: it is part of every key.
suite = Registry("suite", group="linbench.suites")

#: All that moves the number, as JSON scalars, lists and objects.
Key: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Choices:
    """What the user asked for; a suite makes its cells of it.

    given: Settings given by hand (``impl``, ``attention``, ``compile``), None where they were not.
    options: Options of each backbone that has them, as ``{"position_embedding": True}``.
    parts: What of a segmenter is timed.  prompts: How many boxes are decoded, where something is.
    fusions: Designs of RWKV-SAM's refine module, for models that have it.
    energy: Whether the energy of one image is measured too.
    ops, cases, directions: Of the suite over kernels; empty for what it takes by default.
    data: The folder of all data sets, or ``shapes``; None for the default.  boxes: A file of a detector's boxes.
    protocol: How images reach the model, by name; None for the suite's own.  images: The first so many; None for all.
    checkpoints: FILE or NAME=FILE each.  weights: ``model`` or ``ema`` of those that hold both; None as their source.
    random, seed: Whether weights are random instead, and their seed.
    """

    backbones: tuple[str, ...]
    resolutions: tuple[Size, ...]
    dtypes: tuple[str, ...] = ("float32",)
    presets: tuple[str, ...] = ("paper", "best")
    device: str = "auto"
    threads: int | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[str, ...] = ("backbone",)
    prompts: int = 1
    fusions: tuple[str, ...] = ("conv",)
    energy: bool = False
    ops: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    directions: tuple[str, ...] = ()
    data: str | None = None
    boxes: Path | None = None
    protocol: str | None = None
    images: int | None = None
    checkpoints: tuple[str, ...] = ()
    weights: str | None = None
    random: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Cell:
    """One point of a suite.

    code_hash: Of what is behind its number.  modules: What that is, as ``provenance.code_hash`` takes it.
    variables: Environment of the process that measures it.
    pending: The search that its settings wait for; its key holds those that the search starts from.
    search: How its settings were found, for its record.
    """

    key: Key
    code_hash: str
    modules: Mapping[str, Any]
    variables: Mapping[str, str] = field(default_factory=dict)
    pending: "Search | None" = None
    search: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What one fresh process found: a round's raw numbers, or the status that stands in their place."""

    status: Status
    reason: str = ""
    round: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    log: str = ""


@dataclass(frozen=True)
class Suite:
    """cells: Plans, without measuring; raises ValueError that teaches.

    measure: Runs in a fresh process: ``(key, seconds, seed) -> Outcome``; None where ``task`` is given.
    task: Of suites of accuracy: the evaluation of a cell, with its model on a device.
    trial: As ``measure``, for one candidate of a search; of suites whose cells have any.
    takes: The options of ``linbench run`` that choose its cells; another one that does is refused.
    named_by: The parts of a key that tell a person which cell it is; ``size`` is height and width.
    """

    cells: Callable[[Choices], list[Cell]]
    measure: Callable[[Key, float, int], Outcome] | None = None
    task: "Callable[[Cell, Choices, torch.device], Task[Any, Any]] | None" = None
    trial: Callable[[Key, float, int], Outcome] | None = None
    takes: frozenset[str] = BACKBONES
    named_by: tuple[str, ...] = ("backbone", "size", "dtype", "preset")
