"""The contract of an engine: what it needs, how it runs a model, and what it says about how it ran.

An engine of PyTorch (``eager``, ``compile``) wraps a module in the process that measures. An exported one takes a
file, which another process wrote: the process that measures then holds the engine alone. A plug-in is one file:

    @engine("mine")
    class Mine(ExportedEngine):
        ...

No torch here, and no engine is imported before it runs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from linbench.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

#: All engines by name; ``@engine("onnxruntime")`` adds a class.
engine = Registry("engine", group="linbench.engines")

Arrays: TypeAlias = tuple[NDArray[np.float32], ...]
EAGER, COMPILE = "eager", "compile"
UNTESTED = "untested on hardware"


class EngineUnsupported(RuntimeError):
    """A model, dtype or device that an engine does not run; its message says why."""


@dataclass(frozen=True)
class RunConfig:
    """How a model is to run. device_type: ``cpu`` or ``cuda``.  dtype: Such as ``float32``.  threads: Of the CPU."""

    device_type: str
    dtype: str
    threads: int


@dataclass(frozen=True)
class EngineKey:
    """The entries of a record's key that name an engine.

    version: Of its package; empty for those of PyTorch, whose version stands in the environment.
    provider: The device, or the part of the engine, that must run all of the model.
    options: All that is set by hand, ``name=value`` by blanks.
    """

    name: str = EAGER
    version: str = ""
    provider: str = ""
    options: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the entries of a record's key."""
        entries = {f"engine_{name}": value for name, value in asdict(self).items()}
        return {"engine": entries.pop("engine_name"), **entries}

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> "EngineKey":
        """Return the engine of a record's key; one without an engine is older than they are: eager or compiled."""
        older = COMPILE if entries.get("compile") else EAGER
        parts = ("version", "provider", "options")
        return cls(entries.get("engine", older), *(entries.get(f"engine_{part}", "") for part in parts))


@dataclass(frozen=True)
class EngineFacts:
    """What ran, read back from the engine after it loaded; nothing here is what was requested."""

    version: str
    provider: str
    precision: str
    threads: int
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the entry ``engine_facts`` of a round."""
        return {**asdict(self), "details": dict(self.details)}

    def mismatch(self, config: RunConfig) -> str:
        """Say in one sentence what ran otherwise than requested; empty where all agrees."""
        if self.precision != config.dtype:
            return f"{config.dtype} was requested, the engine answers {self.precision}"
        if config.device_type == "cpu" and self.threads != config.threads:
            return f"{config.threads} threads were requested, the engine answers {self.threads}"
        return ""


class Engine(ABC):
    """What runs a model.

    packages: Names to import.  distribution: The package whose version stands in the key.
    extra: linbench's extra that installs it; empty where PyTorch is enough.
    hint: The command that installs it, where that is not an extra.
    is_tested: Whether it has run on the hardware that it is for.
    """

    name: ClassVar[str]
    what: ClassVar[str] = ""
    packages: ClassVar[tuple[str, ...]] = ()
    distribution: ClassVar[str] = ""
    extra: ClassVar[str] = ""
    hint: ClassVar[str] = ""
    is_tested: ClassVar[bool] = True

    @property
    def install(self) -> str:
        """The one command that installs it; empty where nothing is missing with PyTorch."""
        return f"pip install linbench[{self.extra}]" if self.extra else self.hint

    def missing(self) -> str | None:
        """Return which package does not import, with the command that installs it; None where all do."""
        for package in self.packages:
            try:
                import_module(package)
            except (ImportError, OSError) as error:
                if isinstance(error, ModuleNotFoundError) and error.name in (package, None):
                    return f"{package} is not installed: {self.install}"
                return f"{package} does not import ({str(error).splitlines()[0]}): {self.install}"
        return None

    def available(self, config: RunConfig) -> str | None:
        """Return why it cannot run so on this machine; None where it can."""
        return self.missing() or self.refusal(config)

    @abstractmethod
    def refusal(self, config: RunConfig) -> str | None:
        """Return why it does not run this device or dtype; None where it does. Its packages are installed."""

    @abstractmethod
    def key(self, device_type: str) -> EngineKey:
        """Return its entries of a record's key. Imports nothing."""

    @property
    def is_installed(self) -> bool:
        """Whether its packages are there; they are not imported, so they may still fail to."""
        return all(_is_there(package) for package in self.packages)

    def version(self) -> str:
        """Return the version of its package, empty where it has none or is not installed."""
        try:
            return version(self.distribution) if self.distribution else ""
        except PackageNotFoundError:
            return ""


class TorchEngine(Engine):
    """An engine inside PyTorch: it wraps a module in the process that measures."""

    @abstractmethod
    def wrap(self, model: "nn.Module", config: RunConfig) -> "Callable[..., tuple[Tensor, ...]]":
        """Return the callable that runs ``model``, whose dtype and device are set; its first call may compile."""


class Session(ABC):
    """An artifact that is loaded."""

    @abstractmethod
    def bind(self, inputs: Arrays) -> Callable[[], None]:
        """Return the forward on these inputs, which are copied to the device now."""

    @abstractmethod
    def outputs(self) -> Arrays:
        """Return copies of the last forward's outputs, in float32."""

    @abstractmethod
    def facts(self) -> EngineFacts:
        """Return what runs, read back. Raises EngineUnsupported where it is not what was requested."""


class ExportedEngine(Engine):
    """An engine that loads a file.

    typed: Whether the file is of one dtype, so that each dtype needs its own.
    suffix: Of the file that it loads.
    exporting: Packages that writing the file needs; the process that loads it does without.
    """

    typed: ClassVar[bool] = False
    suffix: ClassVar[str] = ".onnx"
    exporting: ClassVar[tuple[str, ...]] = ("onnx", "onnxscript")

    def cannot_export(self) -> str | None:
        """Return which package of the export does not import; None where all do."""
        for package in self.exporting:
            try:
                import_module(package)
            except ImportError:
                extra = self.extra or "engines"
                return f"{package} is not installed, and the export needs it: pip install linbench[{extra}]"
        return None

    def save(self, model: "nn.Module", inputs: "tuple[Tensor, ...]", path: Path) -> None:
        """Write the artifact of ``model``, which is on the CPU in eval mode, to ``path``."""
        export = import_module("linbench.engines.export")  # named: eager's records do not rest on its code
        export.save_onnx(export.export_program(model, inputs, self.name), path, None)

    @abstractmethod
    def load(self, path: Path, config: RunConfig) -> Session:
        """Load an artifact. Raises EngineUnsupported."""


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # a module that blocks its import has no spec
        return False


def build(name: str) -> Engine:
    """Return the engine of that name; raises UnknownName."""
    built: Engine = engine[name].build()
    return built


def portable_modules() -> tuple[str, ...]:
    """Return the modules with the plain forms of linbench's ops, which an export takes in their place."""
    folder = Path(__file__).parents[1] / "kernels"
    return tuple(f"linbench.kernels.{path.parent.name}.portable" for path in sorted(folder.glob("*/portable.py")))


def exported(name: str) -> ExportedEngine | None:
    """Return the engine of that name where it loads artifacts, None for those of PyTorch."""
    built = build(name)
    return built if isinstance(built, ExportedEngine) else None
