"""Initial weights: a checkpoint of ours or an official one, into whatever part of a task model it has.

A task model is a backbone and parts around it. What a checkpoint of ours has of them is taken over: a classifier's
backbone into a segmenter, a distilled backbone and neck into the promptable one, and all of it into the same task's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from linbench.backbones.contract import Misfit, load_named, load_official
from linbench.models import checkpoint
from linbench.models.checkpoint import About, BadCheckpoint
from linbench.train.gradient_checkpointing import backbone_of

#: An encoder's parts have its name in front inside a promptable segmenter, and none on their own.
ENCODER = "encoder."


def load_initial(model: nn.Module, name: str, task: str, path: Path, branch: str = "model") -> list[str]:
    """Fill the model from the checkpoint at ``path``; return the parts that were filled.

    name: Of the model's backbone.
    task: As the model's checkpoint says it.
    branch: ``model`` or ``ema``, of an official file that holds both.
    Raises BadCheckpoint and Misfit, a ValueError, for what cannot be read, or is another backbone's.
    """
    about, entries = checkpoint.read(path, branch)
    if about is None:
        return _load_official(model, entries, path)
    if about.model != name:
        raise Misfit(f"{path}: it is {about}; its weights do not go into {name}")
    given, wanted = _parts(entries), _parts(model.state_dict())
    taken = [
        part
        for part in wanted
        if part in given and (part in ("backbone", "neck") or _fits(given[part], wanted[part], about.task == task))
    ]
    if "backbone" not in taken:
        raise BadCheckpoint(f"{path}: it holds no backbone, only {', '.join(given)}")
    given["backbone"] = _refitted(backbone_of(model), given["backbone"], about)
    whole = dict(model.state_dict())
    for part in taken:
        whole |= {f"{_prefix(model, part)}{key}": x for key, x in given[part].items()}
    try:
        load_named(model, whole)
    except Misfit as misfit:
        raise Misfit(f"{path}: it is {about}; {misfit}") from misfit
    return taken


def _load_official(model: nn.Module, entries: Mapping[str, Tensor], path: Path) -> list[str]:
    backbone = backbone_of(model)
    try:
        load_official(backbone, entries)
    except Misfit as error:
        raise Misfit(f"{path}: {error}; {checkpoint.resemblance(entries)}") from error
    return ["backbone"]


def _fits(given: dict[str, Tensor], wanted: dict[str, Tensor], same_task: bool) -> bool:
    """Whether a part around the backbone is a start: the head of another task, or of other classes, is none."""
    return same_task and {k: x.shape for k, x in given.items()} == {k: x.shape for k, x in wanted.items()}


def _parts(entries: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Entries by their part, the encoder's as parts of their own."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, x in entries.items():
        part, _, rest = name.removeprefix(ENCODER).partition(".")
        found.setdefault(part, {})[rest] = x
    return found


def _prefix(model: nn.Module, part: str) -> str:
    """What stands before a part's names in the model's."""
    inside = any(name.startswith(f"{ENCODER}{part}.") for name in model.state_dict())
    return f"{ENCODER if inside else ''}{part}."


def _refitted(backbone: Any, entries: dict[str, Tensor], about: About) -> dict[str, Tensor]:
    """A backbone's entries for its own image size, where it has tables that depend on that."""
    refit = getattr(backbone, "refit", None)
    found: dict[str, Tensor] = refit(entries, about.image_size) if refit else entries
    return found
