"""The training loop. It computes; to log, to save and to stop is its caller's, who may do so after any step.

    for number, outcome in fit(state, recipe, feed.steps(state.step, end), accelerator, seed):
        outcome.losses["loss"]

A step is the same whatever the split: micro-batches and processes each give the gradient of their own mean loss times
their share of the step's weight, and the sum of these is the gradient of the mean over the whole global batch.
Randomness inside the model (stochastic depth) starts anew from (seed, step, first image) in each micro-batch, so that
a resumed run draws what the uninterrupted one does.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from linbench.recipes import optimizer as optimiser
from linbench.recipes.contract import Batch, Recipe, Task, derived
from linbench.train.batches import WORDS, Step, step_hash
from linbench.train.gradient_checkpointing import backbone_of
from linbench.train.nonfinite import NotFinite, finite, first_not_finite
from linbench.train.processes import summed

MODEL_RANDOMNESS = 1  # tells these seeds from those of the data


class Trained(nn.Module):
    """A model under its task's loss: what is called once per micro-batch, and so what is distributed."""

    def __init__(self, model: nn.Module, task: Task) -> None:
        super().__init__()
        self.model = model
        self.task = task

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.task.loss(self.model, batch)


@dataclass
class State:
    """All that changes while a model is trained.

    model: Itself, on its device; ``trained`` calls it under the loss, wrapped for the processes there are.
    schedule: timm's, over ``optimiser``; it sets the learning rate of a step from the step's number alone.
    scaler: Of the loss, for float16; None otherwise.
    ema: The moving average of the weights, where the recipe has one.
    step: Steps that are done.
    """

    model: nn.Module
    trained: nn.Module
    optimiser: Optimizer
    schedule: Any
    scaler: Any
    ema: AveragedModel | None
    step: int = 0

    @property
    def kept(self) -> nn.Module:
        """The model that a finished run leaves: the average where there is one."""
        return self.ema.module if self.ema else self.model


@dataclass(frozen=True)
class Outcome:
    """What a step gave, over all processes.

    losses: Means over the global batch, by name; ``loss`` is what was minimised.
    lr: Learning rate of the step, of groups whose factor is 1.
    gradient: Norm of the gradient before it was clipped; not finite where float16's scaler left the step out.
    images: How many.
    batch_hash: Of the items, in hexadecimal.
    skipped: Samples of this process that were passed over, id and reason.
    """

    losses: Mapping[str, float]
    lr: float
    gradient: float
    images: int
    batch_hash: str
    skipped: list[tuple[str, str]] = field(default_factory=list)


def prepare(
    model: nn.Module, task: Task, steps: int, steps_per_epoch: int, accelerator: Accelerator, compile: bool = False
) -> State:
    """A model at step 0, with its optimiser, on the accelerator's device.

    compile: Whether the backbone goes through torch.compile.
    """
    recipe = task.recipe
    if accelerator.num_processes > 1 and accelerator.device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model.to(accelerator.device).train()
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema)) if recipe.ema else None
    raw = optimiser.optimiser(task.parameter_groups(model), recipe)
    schedule = optimiser.schedule(raw, recipe, steps, steps_per_epoch)
    if compile:
        backbone_of(model).compile()
    trained, wrapped = accelerator.prepare(Trained(model, task), raw)
    return State(model, trained, wrapped, schedule, accelerator.scaler, ema)


def fit(
    state: State, recipe: Recipe, batches: Iterable[Step], accelerator: Accelerator, seed: int
) -> Iterator[tuple[int, Outcome]]:
    """Train on batches; yield the number of steps done and what the last one gave, before the next one is begun.

    batches: From ``state.step`` on.
    Raises NotFinite where a loss or a gradient is not a number or infinite; the state is the last good step's then.
    """
    for batch in batches:
        assert batch.number == state.step, "the batches do not begin where the state is"
        state.schedule.step_update(state.step)
        yield state.step + 1, _step(state, recipe, batch, accelerator, seed)


def _step(state: State, recipe: Recipe, step: Step, accelerator: Accelerator, seed: int) -> Outcome:
    task: Task = accelerator.unwrap_model(state.trained).task
    weights = [task.weight(batch) for batch in step.micro]
    total, images, *hashes = summed(accelerator, [sum(weights), step.images, *step.hashes])
    sums: dict[str, Tensor] = {}
    for i, (batch, weight) in enumerate(zip(step.micro, weights, strict=True)):
        last = i + 1 == len(step.micro)
        with nullcontext() if last else accelerator.no_sync(state.trained):
            losses = _losses(state.trained, batch, accelerator, (seed, step.number, step.firsts[i]))
            accelerator.backward(losses["loss"] * (weight * accelerator.num_processes / total))
        for name, value in losses.items():
            sums[name] = sums.get(name, value.new_zeros(())) + value.detach().double() * (weight / total)
    values = dict(zip(sums, summed(accelerator, torch.stack(list(sums.values())).tolist()), strict=True))
    if not all(math.isfinite(value) for value in values.values()):
        state.optimiser.zero_grad()
        raise _fault(state, step, accelerator, seed, f"the loss is {values['loss']}")
    norm = float(accelerator.clip_grad_norm_(state.model.parameters(), recipe.clip or math.inf))
    if not math.isfinite(norm) and state.scaler is None:
        bad = next(n for n, p in state.model.named_parameters() if p.grad is not None and not p.grad.isfinite().all())
        state.optimiser.zero_grad()
        raise NotFinite(step.number, _ids(step), "", f"the gradient of {bad} is not finite, the loss is")
    state.optimiser.step()
    state.optimiser.zero_grad()
    if state.ema:
        state.ema.update_parameters(state.model)
    state.step += 1
    lr = next(g["lr"] / g.get("lr_scale", 1.0) for g in state.optimiser.param_groups)
    return Outcome(values, lr, norm, int(images), step_hash(hashes[:WORDS]), step.skipped)


def _losses(
    trained: nn.Module, batch: Batch, accelerator: Accelerator, place: tuple[int, int, int]
) -> dict[str, Tensor]:
    """place: The run's seed, the step, the first image: what the randomness inside the model comes from."""
    torch.manual_seed(derived(MODEL_RANDOMNESS, *place))
    found: dict[str, Tensor] = trained(on_device(batch, accelerator.device))
    return found


def _fault(state: State, step: Step, accelerator: Accelerator, seed: int, what: str) -> NotFinite:
    """Run the step's forward passes again, on this process alone, to find where the first bad number is made."""
    trained = accelerator.unwrap_model(state.trained)
    for batch, first in zip(step.micro, step.firsts, strict=True):
        with first_not_finite(state.model) as found, torch.no_grad():
            losses = _losses(trained, batch, accelerator, (seed, step.number, first))
        if not all(value.isfinite().all() for value in losses.values()):
            inside = found.name or ("the loss itself" if finite(batch) else "the images themselves")
            return NotFinite(step.number, list(batch["ids"]), inside, what)
    return NotFinite(step.number, _ids(step), "a module on another process", what)


def _ids(step: Step) -> list[str]:
    return [name for batch in step.micro for name in batch["ids"]]


def on_device(value: Any, device: torch.device) -> Any:
    """A batch's tensors on the device, whatever they are nested in."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {name: on_device(part, device) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(on_device(part, device) for part in value)
    return value
