"""A run: one recipe on one backbone in one folder; how it is computed, its identity, its lock, what may resume it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linbench._version import __version__
from linbench.backbones import backbone as backbones
from linbench.models.checkpoint import describe
from linbench.provenance import code_hash
from linbench.recipes.contract import Recipe, as_json
from linbench.system.files import LOCK_NAME, file_sha256, locked, replacing
from linbench.train.states import saving

IDENTITY_NAME = "run.json"
MODEL_NAME = "model.safetensors"
STATES_NAME = "states"
#: Entries of a run's identity that a resumed run must share, each with its option. The recipe is compared by itself.
IDENTITY_OPTIONS = {
    "backbone": "--backbone",
    "options": "--option or --fusion",
    "seed": "--seed",
    "data": "--data: the data's checksums",
    "init": "--init: its SHA-256",
    "init_weights": "--weights",
    "teacher": "--teacher: its SHA-256",
}


class OtherRun(ValueError):
    """The folder holds another run than the requested one; the text names every difference."""


class InUse(RuntimeError):
    """Another process trains in the folder."""


@dataclass(frozen=True)
class Run:
    """One recipe on one backbone.

    out: Folder of everything that the run writes.
    options: The model's own options, as ``fusion``.
    data: The value of ``--data``.
    init: A checkpoint with the initial weights, or None.
    teacher: A teacher's checkpoint, or None; read if the task has a teacher.
    teacher_cache: Folder for the teacher's embeddings, or None to compute them each time.
    init_weights: ``model`` or ``ema``, if ``init`` holds both; None for ``model``, as the sources' fine-tuning takes.
    """

    backbone: str
    recipe: Recipe
    out: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    data: str | None = None
    init: Path | None = None
    teacher: Path | None = None
    teacher_cache: Path | None = None
    init_weights: str | None = None

    @property
    def name(self) -> str:
        """The run in a few words."""
        return f"{self.recipe.name} on {self.backbone}"

    @property
    def model(self) -> Path:
        """The path of the finished model."""
        return self.out / MODEL_NAME

    @property
    def states(self) -> Path:
        """The folder of the states to resume from."""
        return self.out / STATES_NAME


@dataclass(frozen=True)
class TrainingOptions:
    """How a run is computed: what moves its time and its rounding, and nothing else.

    precision: ``fp32``, ``bf16`` or ``fp16``.
    micro_batch: Images that go through the model at once, on each device; None for a size that suits the images.
    workers: Processes that load data.
    checkpoint_minutes: Time between two states on the disk.
    gradient_checkpointing: Whether the backbone's activations are recomputed in the backward pass to save memory.
    channels_last: Whether weights lie in memory with their channels last.
    compile: Whether the backbone goes through torch.compile.
    max_steps: Stop, with a state on the disk, at this step; None to run to the end.
    tensorboard: Whether TensorBoard's event files are written as well.
    """

    precision: str = "fp32"
    micro_batch: int | None = None
    workers: int = 0
    checkpoint_minutes: float = 10.0
    gradient_checkpointing: bool = False
    channels_last: bool = False
    compile: bool = False
    max_steps: int | None = None
    tensorboard: bool = False


def source_hash(run: Run) -> str:
    """Return the hash of the code that trains: the loop, the recipes and the backbone, with all that they import."""
    return code_hash((), ["linbench.train.training", "linbench.recipes", backbones[run.backbone].source])


def run_identity(run: Run, checksums: Mapping[str, str], teacher: str | None) -> dict[str, Any]:
    """Return what makes the run the one that it is, as JSON values.

    checksums: Of its datasets, by name.
    teacher: The hash of its teacher, if it has one.
    """
    identity = {
        "backbone": run.backbone,
        "options": {name: str(value) for name, value in run.options.items()},
        "recipe": as_json(run.recipe),
        "recipe_hash": run.recipe.hash,
        "seed": run.seed,
        "data": dict(checksums),
        "init": file_sha256(run.init) if run.init else None,
        "init_weights": run.init_weights if run.init_weights == "ema" else None,
        "lineage": lineage(run.init) if run.init else [],
        "teacher": teacher,
        "code_hash": source_hash(run),
        "linbench": __version__,
    }
    normalized: dict[str, Any] = json.loads(json.dumps(identity))  # tuples become lists, as in the file
    return normalized


def lineage(init: Path) -> list[str]:
    """Return the recipes behind initial weights, oldest first, as stated by their file. Raises BadCheckpoint."""
    about = describe(init)
    if about is None or not about.training:
        return []
    return [*about.training.get("lineage", []), about.training["recipe"]]


def read_run(run: Run) -> dict[str, Any] | None:
    """Return the identity stored in the run's folder, or None. Raises OtherRun where it cannot be read."""
    path = run.out / IDENTITY_NAME
    if not path.exists():
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if not _is_identity(stored):
            raise ValueError("it describes no run")
    except (ValueError, RecursionError, OSError) as error:
        raise OtherRun(f"{path}: damaged ({error}); name another --out") from error
    identity: dict[str, Any] = stored
    return identity


def _is_identity(stored: Any) -> bool:
    """Return whether a JSON value has the parts of ``run_identity`` that a resumed run is compared with."""
    recipe = stored.get("recipe") if isinstance(stored, dict) else None
    if not isinstance(recipe, dict) or not isinstance(stored.get("code_hash"), str):
        return False
    sources = recipe.get("sources")
    return (
        isinstance(recipe.get("settings"), dict)
        and isinstance(sources, list)
        and all(isinstance(source, dict) and isinstance(source.get("dataset"), str) for source in sources)
    )


def write_run(run: Run, identity: Mapping[str, Any]) -> None:
    """Write the identity into the run's folder. Raises CannotSave."""
    path = run.out / IDENTITY_NAME
    with saving(path, "the run's description", "nothing was started"), replacing(path) as temporary:
        temporary.write_text(json.dumps(identity, indent=1), encoding="utf-8")


def refuse_other_run(run: Run, stored: Mapping[str, Any], requested: Mapping[str, Any]) -> None:
    """Raise OtherRun if the identity stored in the folder differs from the requested one."""
    differences = [
        f"{option}: {_short(stored.get(name))} there, {_short(requested[name])} requested"
        for name, option in IDENTITY_OPTIONS.items()
        if stored.get(name) != requested[name]
    ]
    changed = _changed_values(stored["recipe"], requested["recipe"])
    differences += [f"{name}: {_short(a)} there, {_short(b)} requested" for name, (a, b) in changed.items()]
    if differences:
        raise OtherRun(
            f"--out {run.out} holds another run, which this command cannot resume: {'; '.join(differences)}. Repeat "
            "the command of that run, or name another folder"
        )


def _changed_values(stored: Any, requested: Any) -> dict[str, tuple[Any, Any]]:
    """Return the values in which two recipes differ, by the names that ``--set`` takes; both recipes are JSON."""
    before, after = _flat_recipe(stored), _flat_recipe(requested)
    names = dict.fromkeys([*before, *after])
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def _flat_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: value for name, value in recipe.items() if name not in ("settings", "sources")}
    values |= recipe["settings"]
    return values | {f"{source['dataset']}.{name}": v for source in recipe["sources"] for name, v in source.items()}


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Hold a run's folder for this process, and clear what a killed writer left. Raises InUse and CannotSave.

    The lock ends with the process, however it ends.
    """
    with saving(folder / IDENTITY_NAME, "the run's folder", "nothing was started"):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable.tmp"
        probe.touch()
        probe.unlink()
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / LOCK_NAME))
        except BlockingIOError:
            raise InUse(f"--out {folder}: another linbench train is at work there") from None
        for leftover in [*folder.glob(".*.tmp"), *(folder / STATES_NAME).glob(".*.tmp")]:
            leftover.unlink(missing_ok=True)
        yield
