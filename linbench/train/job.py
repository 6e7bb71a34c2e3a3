"""What a run is, and whether one that is found may go on: its identity, written when it begins."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linbench import __version__
from linbench.atomic import replacing
from linbench.backbones import backbone as backbones
from linbench.models.checkpoint import describe
from linbench.provenance import code_hash
from linbench.recipes.contract import Recipe, as_json
from linbench.train.files import sha256, writing

NAME = "run.json"
MODEL = "model.safetensors"
STATES = "states"
#: What makes two runs different ones, in the words of a refusal. The recipe is compared by itself.
FIXED = {
    "backbone": "--backbone",
    "options": "--option or --fusion",
    "seed": "--seed",
    "data": "--data: the data's checksums",
    "init": "--init: its SHA-256",
    "init_weights": "--weights",
    "teacher": "--teacher: its SHA-256",
}


class OtherRun(ValueError):
    """The folder holds a run that is not the one asked for; its text names every difference."""


class InUse(RuntimeError):
    """Another process trains in the folder."""


@dataclass(frozen=True)
class Job:
    """One recipe on one backbone.

    options: The model's own, as ``fusion``.
    data: As ``--data`` says it.
    init: A checkpoint whose weights it begins with, or None.
    init_weights: ``model`` or ``ema``, where it holds both; None for ``model``, as the sources' fine-tuning takes.
    teacher: A teacher's checkpoint, or None; read where the task has a teacher.
    teacher_cache: Folder of its embeddings, or None to compute them each time.
    out: Folder of everything that is written.
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
        return f"{self.recipe.name} on {self.backbone}"

    @property
    def model(self) -> Path:
        """Where the finished model is or will be."""
        return self.out / MODEL

    @property
    def states(self) -> Path:
        """The folder of the states to go on from."""
        return self.out / STATES


def source_hash(job: Job) -> str:
    """The hash of the code that trains: the loop's, the recipes', the backbone's, with all that they import."""
    return code_hash((), ["linbench.train.run", "linbench.recipes", backbones[job.backbone].source])


def identity(job: Job, checksums: Mapping[str, str], teacher: str | None) -> dict[str, Any]:
    """What the run is, as JSON has it.

    checksums: Of its data sets.
    teacher: The hash of its teacher, where it has one.
    """
    found = {
        "backbone": job.backbone,
        "options": {name: str(value) for name, value in job.options.items()},
        "recipe": as_json(job.recipe),
        "recipe_hash": job.recipe.hash,
        "seed": job.seed,
        "data": dict(checksums),
        "init": sha256(job.init) if job.init else None,
        "init_weights": job.init_weights if job.init_weights == "ema" else None,
        "lineage": lineage(job.init) if job.init else [],
        "teacher": teacher,
        "code_hash": source_hash(job),
        "linbench": __version__,
    }
    same: dict[str, Any] = json.loads(json.dumps(found))  # tuples as JSON gives them back
    return same


def lineage(init: Path) -> list[str]:
    """The recipes behind initial weights, oldest first, as far as the checkpoint says; raises BadCheckpoint."""
    about = describe(init)
    if about is None or not about.training:
        return []
    return [*about.training.get("lineage", []), about.training["recipe"]]


def begun(job: Job) -> dict[str, Any] | None:
    """The identity of the run that is in the job's folder, or None. Raises OtherRun where it cannot be read."""
    path = job.out / NAME
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not _describes(found):
            raise ValueError("it describes no run")
    except (ValueError, RecursionError, OSError) as error:
        raise OtherRun(f"{path}: it is damaged ({error}); name another --out") from error
    return found


def _describes(found: Any) -> bool:
    """Whether JSON's value has what ``identity`` writes, as far as it is compared value by value."""
    recipe = found.get("recipe") if isinstance(found, dict) else None
    if not isinstance(recipe, dict) or not isinstance(found.get("code_hash"), str):
        return False
    sources = recipe.get("sources")
    return (
        isinstance(recipe.get("settings"), dict)
        and isinstance(sources, list)
        and all(isinstance(one, dict) and isinstance(one.get("dataset"), str) for one in sources)
    )


def begin(job: Job, wanted: Mapping[str, Any]) -> None:
    """Write the identity. Raises CannotSave."""
    with (
        writing(job.out / NAME, "the run's description", "nothing was begun"),
        replacing(job.out / NAME) as temporary,
    ):
        temporary.write_text(json.dumps(wanted, indent=1), encoding="utf-8")


def refuse_other(job: Job, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise OtherRun where the run in the folder is not the one that is wanted."""
    changes = _changes(found["recipe"], wanted["recipe"])
    parts = [
        f"{said}: {_short(found.get(name))} there, {_short(wanted[name])} asked"
        for name, said in FIXED.items()
        if found.get(name) != wanted[name]
    ]
    parts += [f"{name}: {_short(a)} there, {_short(b)} asked" for name, (a, b) in changes.items()]
    if parts:
        raise OtherRun(
            f"--out {job.out} holds another run, which this one cannot go on from: {'; '.join(parts)}. Ask for that "
            "one again, or name another folder"
        )


def _changes(one: Any, other: Any) -> dict[str, tuple[Any, Any]]:
    """The values of two recipes as JSON that differ, by the names that ``--set`` takes."""
    mine, its = _flat(one), _flat(other)
    names = dict.fromkeys([*mine, *its])
    return {name: (mine.get(name), its.get(name)) for name in names if mine.get(name) != its.get(name)}


def _flat(recipe: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in recipe.items() if name not in ("settings", "sources")} | recipe[
        "settings"
    ]
    return found | {f"{source['dataset']}.{name}": v for source in recipe["sources"] for name, v in source.items()}


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder for one run; raises InUse, CannotSave. The lock ends with the process, however it ends."""
    with writing(folder / NAME, "the run's folder", "nothing was begun"):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable.tmp"
        probe.touch()
        probe.unlink()
    handle = os.open(folder, os.O_RDONLY) if os.name == "posix" else None
    try:
        if handle is not None:
            import fcntl

            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InUse(f"--out {folder}: another linbench train is at work there") from None
        for left in [*folder.glob(".*.tmp"), *(folder / STATES).glob(".*.tmp")]:
            left.unlink(missing_ok=True)
        yield
    finally:
        if handle is not None:
            os.close(handle)
