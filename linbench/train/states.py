"""The states that a run resumes from: what is on the disk is whole, and what is read is what was written.

    states/step-00001200.safetensors     model, optimizer, average: tensors by name
    states/step-00001200.json            step, scaler, and the SHA-256 of the other file; written last

A state counts once its JSON exists. The last two are kept. No pickle: an optimizer's state is tensors by the
parameter's name.
"""

import errno
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

from linbench.system.files import file_sha256, replacing
from linbench.train.loop import TrainingState

STATES_KEPT = 2


class BadState(ValueError):
    """A state that cannot be read; its text says why."""


class CannotSave(RuntimeError):
    """A file of the run could not be written; its text says why, and what is whole."""


@dataclass(frozen=True)
class SavedState:
    """A state on the disk.

    path: Its JSON file, beside which the tensors lie.
    """

    path: Path
    step: int

    @property
    def tensors(self) -> Path:
        """The safetensors file of the state."""
        return self.path.with_suffix(".safetensors")


def save_state(state: TrainingState, folder: Path) -> SavedState:
    """Write the state, then remove all but the last two. Raises CannotSave; earlier states stay whole."""
    saved = SavedState(folder / f"step-{state.step:08d}.json", state.step)
    tensors = {name: x.detach().cpu().contiguous() for name, x in _tensors(state)}
    size = sum(x.numel() * x.element_size() for x in tensors.values())
    content = f"the state of step {state.step} ({size / 1e6:.0f} MB)"
    with saving(saved.tensors, content, _earlier_state(folder, state.step)):
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(saved.tensors) as temporary:
            safetensors.torch.save_file(tensors, temporary)
        facts = {
            "step": state.step,
            "sha256": file_sha256(saved.tensors),
            "scaler": state.scaler.state_dict() if state.scaler else None,
        }
        with replacing(saved.path) as temporary:
            temporary.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    for old in saved_states(folder)[STATES_KEPT:]:
        old.path.unlink()  # first: without its JSON a state does not count
        old.tensors.unlink(missing_ok=True)
    return saved


def saved_states(folder: Path) -> list[SavedState]:
    """Return the states in a folder, the latest first."""
    matches = (re.fullmatch(r"step-(\d+)\.json", path.name) for path in folder.glob("step-*.json"))
    steps = sorted((int(match[1]) for match in matches if match), reverse=True)
    return [SavedState(folder / f"step-{step:08d}.json", step) for step in steps]


def load_state(state: TrainingState, saved: SavedState) -> None:
    """Fill ``state`` with a saved state. Raises BadState before anything is changed."""
    try:
        facts = _read_facts(saved)
        if file_sha256(saved.tensors) != facts["sha256"]:
            raise BadState(f"{saved.tensors}: damaged: its SHA-256 differs from the one in {saved.path.name}")
        with safetensors.safe_open(saved.tensors, framework="pt") as file:
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise error if isinstance(error, BadState) else BadState(f"{saved.path}: damaged: {error}") from error
    if mismatch := _mismatch(state, tensors):
        raise BadState(f"{saved.tensors}: not a state of this model and optimizer: {mismatch}")
    if state.scaler and facts["scaler"] is None:
        raise BadState(f"{saved.path}: written without a loss scaler; resume with the --precision of that time")
    if state.scaler and facts["scaler"].keys() != state.scaler.state_dict().keys():
        raise BadState(f"{saved.path}: its loss scaler has other values than this one")
    _restore(state, tensors)
    if state.scaler:
        state.scaler.load_state_dict(facts["scaler"])
    state.step = facts["step"]


def _read_facts(saved: SavedState) -> dict[str, Any]:
    """Return a state's JSON. Raises OSError, ValueError and RecursionError where it is not a state's."""
    content = json.loads(saved.path.read_text(encoding="utf-8"))
    facts: dict[str, Any] = content if isinstance(content, dict) else {}
    step, scaler = facts.get("step"), facts.get("scaler", ())
    if type(step) is not int or step != saved.step or not isinstance(facts.get("sha256"), str):
        raise ValueError("its `step` is not that of its name, or it has no `sha256`")
    if scaler is not None and not (
        isinstance(scaler, dict) and all(type(x) in (int, float) for x in scaler.values())
    ):
        raise ValueError("its `scaler` is neither null nor numbers by name")
    return facts


def _mismatch(state: TrainingState, tensors: dict[str, Tensor]) -> str:
    """Say why tensors from the disk cannot fill the state; empty where they can."""
    expected = {f"model.{name}": x for name, x in state.model.state_dict().items()}
    expected |= {f"average.{name}": x for name, x in (state.ema.state_dict() if state.ema else {}).items()}
    if missing := expected.keys() - tensors.keys():
        return f"it lacks {len(missing)} of the model's tensors, as {min(missing)}"
    parameters = dict(state.model.named_parameters())
    for name, x in tensors.items():
        label = f"{name[:80]!r}"  # anything may stand in the file
        _, _, parameter_name = name.removeprefix("optimiser.").partition(".")
        if name.startswith("optimiser.") and parameter_name in parameters:
            parameter = parameters[parameter_name]
            if x.numel() != 1 and x.shape != parameter.shape:
                return f"{label} is {tuple(x.shape)}, its parameter {tuple(parameter.shape)}"
        elif name not in expected:
            return f"it has {label}, which the model and the optimizer lack"
        elif (x.shape, x.dtype) != (expected[name].shape, expected[name].dtype):
            shape, dtype = tuple(expected[name].shape), expected[name].dtype
            return f"{label} is {tuple(x.shape)} of {x.dtype}, not {shape} of {dtype}"
    return ""


def _tensors(state: TrainingState) -> Iterator[tuple[str, Tensor]]:
    """Yield the state's tensors by the names that they have on the disk."""
    for name, x in state.model.state_dict().items():
        yield f"model.{name}", x
    if state.ema:
        for name, x in state.ema.state_dict().items():
            yield f"average.{name}", x
    for name, parameter in state.model.named_parameters():
        for slot, value in state.optimizer.state.get(parameter, {}).items():
            yield f"optimiser.{slot}.{name}", torch.as_tensor(value)


def _restore(state: TrainingState, tensors: dict[str, Tensor]) -> None:
    state.model.load_state_dict(_with_prefix("model.", tensors))
    if state.ema:
        state.ema.load_state_dict(_with_prefix("average.", tensors))
    parameters = dict(state.model.named_parameters())
    slots: dict[Tensor, dict[str, Tensor]] = {}
    for entry, x in _with_prefix("optimiser.", tensors).items():
        slot, _, name = entry.partition(".")
        parameter = parameters[name]
        # AdamW keeps its step counter on the CPU.
        slots.setdefault(parameter, {})[slot] = x if slot == "step" else x.to(parameter.device)
    state.optimizer.state.clear()
    state.optimizer.state.update(slots)


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the entries whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}


def _earlier_state(folder: Path, step: int) -> str:
    """Say which state before ``step`` is whole."""
    earlier = [saved for saved in saved_states(folder) if saved.step < step]
    return f"the state of step {earlier[0].step} is whole" if earlier else "no earlier state exists"


@contextmanager
def saving(path: Path, content: str, whole: str) -> Iterator[None]:
    """Turn a failed write of ``path`` into CannotSave, and remove the half-written file.

    content: What is written, for the message.
    whole: What the run can resume from, for the message.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            path.with_name(f".{path.name}.tmp").unlink()
        is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "os error 28" in str(error)
        reason = "the disk is full" if is_full else str(error)
        remedy = "free space and give the same command" if is_full else "fix that and give the same command"
        raise CannotSave(f"{path}: {content} could not be written: {reason}; {whole}; {remedy}") from error
