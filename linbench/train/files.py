"""The files that a run goes on from: what is on the disk is whole, and what is read is what was written.

    states/step-00001200.safetensors     model, optimiser, average: tensors by name
    states/step-00001200.json            step, scaler, and the SHA-256 of the other file; written last

A state counts once its JSON is there. The last two are kept. No pickle: an optimiser's state is tensors by the
parameter's name.
"""

import errno
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from linbench.atomic import replacing
from linbench.train.loop import State

KEPT = 2


class BadState(ValueError):
    """A state that cannot be read; its text says why."""


class CannotSave(RuntimeError):
    """A file of the run could not be written; its text says why and what is whole."""


@dataclass(frozen=True)
class Saved:
    """A state on the disk: its JSON, which names its tensors' file."""

    path: Path
    step: int

    @property
    def tensors(self) -> Path:
        return self.path.with_suffix(".safetensors")


def save(state: State, folder: Path) -> Saved:
    """Write the state, then remove all but the last two. Raises CannotSave; earlier ones are whole then."""
    saved = Saved(folder / f"step-{state.step:08d}.json", state.step)
    tensors = {name: x.detach().cpu().contiguous() for name, x in _tensors(state)}
    size = sum(x.numel() * x.element_size() for x in tensors.values())
    with writing(saved.tensors, f"the state of step {state.step} ({size / 1e6:.0f} MB)", _before(folder, state.step)):
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(saved.tensors) as temporary:
            safetensors.torch.save_file(tensors, temporary)
        facts = {
            "step": state.step,
            "sha256": sha256(saved.tensors),
            "scaler": state.scaler.state_dict() if state.scaler else None,
        }
        with replacing(saved.path) as temporary:
            temporary.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    for old in states(folder)[KEPT:]:
        old.path.unlink()  # first: without its JSON a state does not count
        old.tensors.unlink(missing_ok=True)
    return saved


def states(folder: Path) -> list[Saved]:
    """The states in a folder, the latest first."""
    found = (re.fullmatch(r"step-(\d+)\.json", path.name) for path in folder.glob("step-*.json"))
    steps = sorted((int(match[1]) for match in found if match), reverse=True)
    return [Saved(folder / f"step-{step:08d}.json", step) for step in steps]


def load(state: State, saved: Saved) -> None:
    """Put a saved state in place of ``state``; raises BadState, and nothing was changed then."""
    try:
        facts = _facts(saved)
        found = sha256(saved.tensors)
        if found != facts["sha256"]:
            raise BadState(f"{saved.tensors}: it is damaged: its SHA-256 is not that of {saved.path.name}")
        with safetensors.safe_open(saved.tensors, framework="pt") as file:
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise error if isinstance(error, BadState) else BadState(f"{saved.path}: it is damaged: {error}") from error
    if reason := _misfit(state, tensors):
        raise BadState(f"{saved.tensors}: it is not of this model and optimiser: {reason}")
    if state.scaler and facts["scaler"] is None:
        raise BadState(f"{saved.path}: it was written without a scaler of the loss; go on with its --precision")
    if state.scaler and facts["scaler"].keys() != state.scaler.state_dict().keys():
        raise BadState(f"{saved.path}: its scaler of the loss has not the values of this one")
    _restore(state, tensors)
    if state.scaler:
        state.scaler.load_state_dict(facts["scaler"])
    state.step = facts["step"]


def _facts(saved: Saved) -> dict[str, Any]:
    """A state's JSON; raises OSError, ValueError and RecursionError where it is not what ``save`` writes."""
    found = json.loads(saved.path.read_text(encoding="utf-8"))
    facts: dict[str, Any] = found if isinstance(found, dict) else {}
    step, scaler = facts.get("step"), facts.get("scaler", ())
    numbers = scaler is None or (isinstance(scaler, dict) and all(type(x) in (int, float) for x in scaler.values()))
    if type(step) is not int or step != saved.step or not isinstance(facts.get("sha256"), str) or not numbers:
        raise ValueError("it does not state `step`, that of its name, `sha256` and `scaler`")
    return facts


def _misfit(state: State, tensors: dict[str, Tensor]) -> str:
    """Why the tensors cannot be put in the state's place; empty where they can."""
    wanted = {f"model.{name}": x for name, x in state.model.state_dict().items()}
    wanted |= {f"average.{name}": x for name, x in (state.ema.state_dict() if state.ema else {}).items()}
    if lacking := wanted.keys() - tensors.keys():
        return f"it lacks {len(lacking)} of its tensors, as {min(lacking)}"
    parameters = dict(state.model.named_parameters())
    for name, x in tensors.items():
        _, _, parameter = name.removeprefix("optimiser.").partition(".")
        if name.startswith("optimiser.") and parameter in parameters:
            of = parameters[parameter]
            if x.numel() != 1 and x.shape != of.shape:
                return f"{name} is {tuple(x.shape)}, its parameter {tuple(of.shape)}"
        elif name not in wanted:
            return f"it has {name[:80]!r}, which is none of its tensors"
        elif (x.shape, x.dtype) != (wanted[name].shape, wanted[name].dtype):
            return f"{name} is {tuple(x.shape)} of {x.dtype}, not {tuple(wanted[name].shape)} of {wanted[name].dtype}"
    return ""


def _tensors(state: State) -> Iterator[tuple[str, Tensor]]:
    for name, x in state.model.state_dict().items():
        yield f"model.{name}", x
    if state.ema:
        for name, x in state.ema.state_dict().items():
            yield f"average.{name}", x
    for name, parameter in state.model.named_parameters():
        for slot, value in state.optimiser.state.get(parameter, {}).items():
            yield f"optimiser.{slot}.{name}", torch.as_tensor(value)


def _restore(state: State, tensors: dict[str, Tensor]) -> None:
    state.model.load_state_dict(_under("model.", tensors))
    if state.ema:
        state.ema.load_state_dict(_under("average.", tensors))
    parameters = dict(state.model.named_parameters())
    slots: dict[Tensor, dict[str, Tensor]] = {}
    for entry, x in _under("optimiser.", tensors).items():
        slot, _, name = entry.partition(".")
        parameter = parameters[name]
        slots.setdefault(parameter, {})[slot] = (
            x if slot == "step" else x.to(parameter.device)
        )  # AdamW counts on the CPU
    state.optimiser.state.clear()
    state.optimiser.state.update(slots)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}


def _before(folder: Path, step: int) -> str:
    earlier = [saved for saved in states(folder) if saved.step < step]
    return f"the state of step {earlier[0].step} is whole" if earlier else "no state was written before"


def sha256(file: Path) -> str:
    """Of a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextmanager
def writing(path: Path, what: str, whole: str) -> Iterator[None]:
    """Turn what the file system says while ``what`` is written into CannotSave, and leave no half of a file.

    whole: What is left to go on from, in words.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            path.with_name(f".{path.name}.tmp").unlink()
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "os error 28" in str(error)
        why = "the disk is full" if full else str(error)
        then = "free space and give the same command" if full else "mend that and give the same command"
        raise CannotSave(f"{path}: {what} could not be written: {why}; {whole}; {then}") from error
