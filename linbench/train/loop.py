"""The training loop. It computes; its caller logs, saves and stops, after any step.

    for done, result in fit(state, recipe, stream.steps(state.step, end), accelerator, seed):
        result.losses["loss"]

A step is the same whatever the split: each micro-batch on each rank gives the gradient of its own mean loss, weighted
with its fraction of the step's weight, and the sum is the gradient of the mean over the global batch. Randomness
inside the model (stochastic depth) restarts from (seed, step, first image) in each micro-batch, so that a resumed run
draws what the uninterrupted one draws.

A loss or gradient that is not finite stops the step before it reaches the weights, and the forward pass is repeated
to name the first module that made such a number.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from linbench.recipes.contract import Batch, Recipe, Task, derive_seed
from linbench.train.batches import HASH_WORDS, StepBatches, step_hash
from linbench.train.distributed import all_reduce_sum

MODEL_RANDOMNESS = 1  # distinguishes these seeds from those of the data


class NonFiniteLoss(ArithmeticError):
    """A loss or a gradient with NaN or infinity in it.

    step: The step that failed, from 0.
    ids: Of the images behind it.
    module: The first module whose output was not finite though its input was; empty if the forward pass was finite.
    what: What is not finite.
    """

    def __init__(self, step: int, ids: list[str], module: str, what: str) -> None:
        where = f", made by {module}" if module else ""
        super().__init__(f"step {step}: {what}{where}")
        self.step = step
        self.ids = ids
        self.module = module


class ModelWithLoss(nn.Module):
    """A model under its task's loss: called once per micro-batch, and so the module that is distributed."""

    def __init__(self, model: nn.Module, task: Task) -> None:
        super().__init__()
        self.model = model
        self.task = task

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.task.loss(self.model, batch)


@dataclass
class TrainingState:
    """All that changes while a model is trained.

    model: On its device.
    wrapped: Calls ``model`` under the loss, wrapped for the ranks.
    schedule: timm's, over ``optimizer``; it sets the learning rate of a step from the step's index alone.
    scaler: Of the loss, for float16; otherwise None.
    ema: The moving average of the weights, if the recipe has one.
    step: Number of steps done.
    """

    model: nn.Module
    wrapped: nn.Module
    optimizer: Optimizer
    schedule: Any
    scaler: Any
    ema: AveragedModel | None
    step: int = 0

    @property
    def final_model(self) -> nn.Module:
        """The model that a finished run stores: the average, if there is one."""
        return self.ema.module if self.ema else self.model


@dataclass(frozen=True)
class StepResult:
    """The result of a step, over all ranks.

    losses: Means over the global batch, by name; ``loss`` is the minimized one.
    lr: Learning rate of the step, of parameter groups whose factor is 1.
    gradient: Norm of the gradient before clipping; not finite where float16's scaler skipped the step.
    images: Number of images.
    batch_hash: Of the items, in hexadecimal.
    skipped: Samples of this rank that were skipped: id and reason.
    """

    losses: Mapping[str, float]
    lr: float
    gradient: float
    images: int
    batch_hash: str
    skipped: list[tuple[str, str]] = field(default_factory=list)


def fit(
    state: TrainingState, recipe: Recipe, steps: Iterable[StepBatches], accelerator: Accelerator, seed: int
) -> Iterator[tuple[int, StepResult]]:
    """Train; after each step yield the number of steps done and the step's result.

    steps: From ``state.step`` on.
    Raises NonFiniteLoss where a loss or gradient is NaN or infinite; the state is then that of the last good step.
    """
    for step in steps:
        assert step.index == state.step, "the steps do not begin at the state's step"
        state.schedule.step_update(state.step)
        yield state.step + 1, _train_step(state, recipe, step, accelerator, seed)


def _train_step(
    state: TrainingState, recipe: Recipe, step: StepBatches, accelerator: Accelerator, seed: int
) -> StepResult:
    """Compute the gradient of a global batch, and update the weights."""
    task: Task = accelerator.unwrap_model(state.wrapped).task
    weights = [task.weight(batch) for batch in step.micro_batches]
    total, images, *hashes = all_reduce_sum(accelerator, [sum(weights), step.images, *step.hashes])
    losses = _backward(state, step, weights, total, accelerator, seed)
    if not all(math.isfinite(value) for value in losses.values()):
        state.optimizer.zero_grad()
        raise _locate(state, step, accelerator, seed, f"the loss is {losses['loss']}")
    norm = float(accelerator.clip_grad_norm_(state.model.parameters(), recipe.clip or math.inf))
    if not math.isfinite(norm) and state.scaler is None:
        name = next(
            n for n, p in state.model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()
        )
        state.optimizer.zero_grad()
        raise NonFiniteLoss(step.index, _ids(step), "", f"the gradient of {name} is not finite, but the loss is")
    state.optimizer.step()
    state.optimizer.zero_grad()
    if state.ema:
        state.ema.update_parameters(state.model)
    state.step += 1
    lr = next(g["lr"] / g.get("lr_scale", 1.0) for g in state.optimizer.param_groups)
    return StepResult(losses, lr, norm, int(images), step_hash(hashes[:HASH_WORDS]), step.skipped)


def _backward(
    state: TrainingState, step: StepBatches, weights: list[float], total: float, accelerator: Accelerator, seed: int
) -> dict[str, float]:
    """Accumulate the gradient over the micro-batches; return the mean losses over the global batch.

    weights: Of this rank's micro-batches.
    total: The weight of the global batch.
    """
    sums: dict[str, Tensor] = {}
    for i, (batch, weight) in enumerate(zip(step.micro_batches, weights, strict=True)):
        is_last = i + 1 == len(step.micro_batches)
        with nullcontext() if is_last else accelerator.no_sync(state.wrapped):
            losses = _losses(state.wrapped, batch, accelerator, (seed, step.index, step.start_indices[i]))
            accelerator.backward(losses["loss"] * (weight * accelerator.num_processes / total))
        for name, value in losses.items():
            sums[name] = sums.get(name, value.new_zeros(())) + value.detach().double() * (weight / total)
    means = all_reduce_sum(accelerator, torch.stack(list(sums.values())).tolist())
    return dict(zip(sums, means, strict=True))


def _losses(
    wrapped: nn.Module, batch: Batch, accelerator: Accelerator, seeds: tuple[int, int, int]
) -> dict[str, Tensor]:
    """Return the losses of a micro-batch.

    seeds: The run's seed, the step and the first image: the seed of the randomness inside the model.
    """
    torch.manual_seed(derive_seed(MODEL_RANDOMNESS, *seeds))
    losses: dict[str, Tensor] = wrapped(to_device(batch, accelerator.device))
    return losses


def _locate(state: TrainingState, step: StepBatches, accelerator: Accelerator, seed: int, what: str) -> NonFiniteLoss:
    """Repeat the step's forward passes on this rank alone, to locate the first number that is not finite."""
    wrapped = accelerator.unwrap_model(state.wrapped)
    for batch, start in zip(step.micro_batches, step.start_indices, strict=True):
        with first_not_finite(state.model) as names, torch.no_grad():
            losses = _losses(wrapped, batch, accelerator, (seed, step.index, start))
        if not all(value.isfinite().all() for value in losses.values()):
            origin = names[0] if names else "the loss itself" if is_finite(batch) else "the images themselves"
            return NonFiniteLoss(step.index, list(batch["ids"]), origin, what)
    return NonFiniteLoss(step.index, _ids(step), "a module on another process", what)


def _ids(step: StepBatches) -> list[str]:
    return [name for batch in step.micro_batches for name in batch["ids"]]


@contextmanager
def first_not_finite(model: nn.Module) -> Iterator[list[str]]:
    """Watch the model's forward passes inside the block.

    Yields a list that receives the name of the first module with finite inputs and an output that is not finite; an
    inner module comes before those that contain it.
    """
    names: list[str] = []

    def hook(name: str) -> Any:
        def check(_: nn.Module, inputs: Any, output: Any) -> None:
            if not names and not is_finite(output) and is_finite(inputs):
                names.append(name)

        return check

    handles = [module.register_forward_hook(hook(name)) for name, module in model.named_modules() if name]
    try:
        yield names
    finally:
        for handle in handles:
            handle.remove()


def is_finite(value: Any) -> bool:
    """Return whether all tensors in a module's arguments or output are finite."""
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(value.isfinite().all())
    if isinstance(value, dict):
        return all(is_finite(part) for part in value.values())
    if isinstance(value, (list, tuple)):
        return all(is_finite(part) for part in value)
    return True


def to_device(value: Any, device: torch.device) -> Any:
    """Return a batch with its tensors on the device, however they are nested."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {name: to_device(part, device) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(to_device(part, device) for part in value)
    return value
