"""The state before the first step: the task's model, its initial weights, and what is changed around it.

Initial weights come from a checkpoint of linbench's or an official one, into whatever part of a task model it has. A
task model is a backbone and parts around it: a classifier's backbone goes into a segmenter, a distilled backbone and
neck into the promptable one, and everything into a model of the same task.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from linbench.backbones.contract import Misfit, load_named, load_official, official_names
from linbench.backbones.layouts import readings
from linbench.models import checkpoint
from linbench.models.checkpoint import About, BadCheckpoint
from linbench.models.gradient_checkpointing import backbone_of, checkpoint_blocks
from linbench.models.optimizer import build_optimizer
from linbench.models.sam import Sam
from linbench.recipes.contract import Task, derive_seed
from linbench.recipes.schedule import build_schedule
from linbench.train.loop import ModelWithLoss, TrainingState
from linbench.train.run import Run, TrainingOptions

SEGMENTER = "sam"  # the task whose model starts from SAM's prompt encoder and decoder (paper, section 3.2)
MODEL_WEIGHTS = 2  # distinguishes the seed of the initial weights from others
#: Parts of an encoder bear its name in front inside a promptable segmenter, and none by themselves.
ENCODER = "encoder."
#: The parts of SAM's checkpoint that a segmenter starts from.
SAM_PARTS = ("prompt_encoder.", "mask_decoder.")


def build_state(
    run: Run, options: TrainingOptions, task: Task, steps: int, steps_per_epoch: int, accelerator: Accelerator
) -> tuple[TrainingState, list[str]]:
    """Return the run's state before its first step, and notes on where its weights are from.

    Raises ValueError for a backbone whose activations cannot be recomputed, BadCheckpoint and Misfit.
    """
    torch.manual_seed(derive_seed(MODEL_WEIGHTS, run.seed))
    model = task.build(run.backbone, **run.options)
    notes = _load_initial_weights(model, run, task)
    if options.gradient_checkpointing and not checkpoint_blocks(model):
        raise ValueError(
            f"--gradient-checkpointing: {run.backbone} has no repeated blocks whose activations could be recomputed"
        )
    if options.channels_last:
        model.to(memory_format=torch.channels_last)
    return _prepare(model, task, steps, steps_per_epoch, accelerator, options.compile), notes


def _prepare(
    model: nn.Module, task: Task, steps: int, steps_per_epoch: int, accelerator: Accelerator, compile: bool
) -> TrainingState:
    """Return a state at step 0: the model on the accelerator's device, with its optimizer and schedule."""
    recipe = task.recipe
    if accelerator.num_processes > 1 and accelerator.device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model.to(accelerator.device).train()
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema)) if recipe.ema else None
    optimizer = build_optimizer(task.parameter_groups(model), recipe)
    schedule = build_schedule(optimizer, recipe, steps, steps_per_epoch)
    if compile:
        backbone_of(model).compile()
    wrapped, wrapped_optimizer = accelerator.prepare(ModelWithLoss(model, task), optimizer)
    return TrainingState(model, wrapped, wrapped_optimizer, schedule, accelerator.scaler, ema)


def _load_initial_weights(model: nn.Module, run: Run, task: Task) -> list[str]:
    """Load the run's ``--init``, and SAM's prompt encoder and decoder from its teacher; return notes on both."""
    notes: list[str] = []
    parts: list[str] = []
    if run.init:
        branch = checkpoint.branch_of(run.init, run.init_weights, "model")
        parts = load_initial(model, run.backbone, task.checkpoint, run.init, branch or "model")
        weights = f" (its weights {branch})" if branch else ""
        notes.append(f"begins with the {' and '.join(parts)} of {run.init}{weights}")
    if run.teacher and task.checkpoint == SEGMENTER and "decoder" not in parts:
        init_from_sam(cast(Sam, model), run.teacher)
        notes.append(f"keeps the prompt encoder and the decoder of {run.teacher}")
    return notes


def load_initial(model: nn.Module, name: str, task: str, path: Path, branch: str = "model") -> list[str]:
    """Fill the model from the checkpoint at ``path``; return the names of the filled parts.

    name: Of the model's backbone.
    task: As the model's checkpoint states it.
    branch: ``model`` or ``ema``, of an official file that holds both.
    Raises BadCheckpoint and Misfit, both ValueError, for a file that cannot be read or is another backbone's.
    """
    check_initial(path, name)
    about, entries = checkpoint.read(path, branch)
    if about is None:
        return _load_official_backbone(model, entries, path)
    stored, needed = _parts(entries), _parts(model.state_dict())
    taken = [
        part
        for part in needed
        if part in stored
        and (part in ("backbone", "neck") or _is_same_part(stored[part], needed[part], about.task == task))
    ]
    if "backbone" not in taken:
        raise BadCheckpoint(f"{path}: it holds no backbone, only {', '.join(stored)}")
    stored["backbone"] = _refitted(backbone_of(model), stored["backbone"], about)
    state = dict(model.state_dict())
    for part in taken:
        state |= {f"{_prefix(model, part)}{key}": x for key, x in stored[part].items()}
    try:
        load_named(model, state)
    except Misfit as misfit:
        raise Misfit(f"{path}: it is {about}; {misfit}") from misfit
    return taken


def check_initial(path: Path, name: str) -> None:
    """Raise Misfit where a checkpoint of linbench's states another backbone than ``name``; reads no weights."""
    about = checkpoint.describe(path)
    if about is not None and about.model != name:
        raise Misfit(f"{path}: it is {about}; its weights do not go into {name}")


def _load_official_backbone(model: nn.Module, entries: Mapping[str, Tensor], path: Path) -> list[str]:
    try:
        load_official(backbone_of(model), entries)
    except Misfit as error:
        raise Misfit(f"{path}: {error}; {checkpoint.resemblance(entries)}") from error
    return ["backbone"]


def _is_same_part(stored: dict[str, Tensor], needed: dict[str, Tensor], is_same_task: bool) -> bool:
    """Return whether a part around the backbone can start from the stored one.

    The head of another task, or with other classes, cannot.
    """
    return is_same_task and {k: x.shape for k, x in stored.items()} == {k: x.shape for k, x in needed.items()}


def _parts(entries: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Group entries by part, those of an encoder as parts of their own."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, x in entries.items():
        part, _, rest = name.removeprefix(ENCODER).partition(".")
        parts.setdefault(part, {})[rest] = x
    return parts


def _prefix(model: nn.Module, part: str) -> str:
    """Return what precedes the names of a part's entries in the model."""
    is_in_encoder = any(name.startswith(f"{ENCODER}{part}.") for name in model.state_dict())
    return f"{ENCODER if is_in_encoder else ''}{part}."


def _refitted(backbone: Any, entries: dict[str, Tensor], about: About) -> dict[str, Tensor]:
    """Return a backbone's entries for its image size, if it has tables that depend on the size."""
    refit = getattr(backbone, "refit", None)
    return dict(refit(entries, about.image_size)) if refit else entries


def init_from_sam(sam: Sam, path: Path) -> list[str]:
    """Fill the prompt encoder and SAM's part of the decoder from SAM's checkpoint; return the entries left out.

    The paper (arXiv 2406.19369, section 3.2): "we keep the prompt encoder and decoder for saving the knowledge from
    the original SAM". Left out are the mask tokens and layers that a decoder of one mask does not read. What the
    model has around SAM's decoder, as the fusion, keeps its own weights, and so does its encoder.
    path: SAM's official checkpoint, whole.
    Raises BadCheckpoint, and Misfit if the model's decoder is not SAM's.
    """
    *_, (_, entries) = readings(checkpoint.read(path)[1])
    parts = {name: x for name, x in entries.items() if name.startswith(SAM_PARTS)}
    if not parts:
        raise Misfit(f"{path}: it holds no prompt encoder and mask decoder of SAM; {checkpoint.resemblance(entries)}")
    state, named = sam.state_dict(), official_names(sam, parts)
    taken = {name: x for name, x in named.items() if name in state}
    absent = [name for name in state if name.startswith("prompt.") and name not in taken]
    try:
        if absent or not any(name.startswith("decoder.") for name in taken):
            raise Misfit(f"the checkpoint has no {absent[0] if absent else 'decoder of this kind'}")
        load_named(sam, {**state, **taken})
    except Misfit as misfit:
        raise Misfit(f"{path}: {misfit}") from misfit
    return sorted(named.keys() - taken.keys())
