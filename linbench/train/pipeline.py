"""Recipes in a row on one backbone, the stages of a pipeline: choose them, plan them, train them.

    out/1-imagenet/model.safetensors -> out/2-sam-distill/ -> out/3-sam-joint/

Each stage begins with the weights of the one before. An interrupted pipeline resumes in its stage; finished stages
are not trained again.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from accelerate import Accelerator
from torch import Tensor

from linbench.recipes.changes import flat_values, override, shorten
from linbench.recipes.contract import PIPELINES, Recipe, Task, recipe, task
from linbench.registry import UnknownName
from linbench.train.batches import HASH_WORDS, BatchShard, BatchStream, StepBatches
from linbench.train.initial_state import build_state
from linbench.train.loop import TrainingState, fit
from linbench.train.run import Run, TrainingOptions
from linbench.train.states import STATES_KEPT
from linbench.train.teacher_features import teacher_features
from linbench.train.training import Progress, train

TIMED_STEPS = 3  # steps of a plan; the last one counts, as kernels compile in the first


def pipeline_recipes(pipeline: str) -> list[Recipe]:
    """Return the recipes of a pipeline. Raises UnknownName."""
    if pipeline not in PIPELINES:
        near = get_close_matches(pipeline, PIPELINES, n=1, cutoff=0.5)
        hint = f"nearest is {near[0]}" if near else f"there are {', '.join(PIPELINES)}"
        raise UnknownName(f"unknown pipeline {pipeline!r}: {hint}")
    return [recipe[name].build() for name in PIPELINES[pipeline]]


def change_recipes(recipes: Sequence[Recipe], changes: Sequence[str], scale: str) -> list[Recipe]:
    """Return the recipes at a scale, with changes.

    changes: ``lr=2e-4`` for each recipe that has such a value, ``sam-joint.lr=2e-4`` for one.
    Raises UnknownField, a ValueError, if no recipe has the value, and ValueError for text that does not fit it.
    """
    scaled = [shorten(chosen) if scale == "smoke" else chosen for chosen in recipes]
    changes_by_recipe: dict[str, list[str]] = {chosen.name: [] for chosen in scaled}
    for text in changes:
        names, change = _addressed(text, scaled)
        key = change.partition("=")[0].strip()
        taking = [chosen.name for chosen in scaled if chosen.name in names and key in flat_values(chosen)]
        if not taking:
            override(next(chosen for chosen in scaled if chosen.name in names), change)  # raises UnknownField
        for name in taking:
            changes_by_recipe[name].append(change)
    return [override(chosen, *changes_by_recipe[chosen.name]) for chosen in scaled]


def _addressed(change: str, recipes: Sequence[Recipe]) -> tuple[list[str], str]:
    """Return the recipes that a change is for, and the change without a recipe's name in front.

    ``imagenet.images`` is the name of a value and addresses no recipe.
    """
    names = [chosen.name for chosen in recipes]
    prefix, _, rest = change.partition(".")
    if prefix not in names or any(change.partition("=")[0].strip() in flat_values(chosen) for chosen in recipes):
        return names, change
    return [prefix], rest


def stages(first: Run, recipes: Sequence[Recipe]) -> list[Run]:
    """Return one run for each recipe, in folders below the first run's; a single recipe gets that folder itself."""
    if len(recipes) == 1:
        return [replace(first, recipe=recipes[0])]
    runs: list[Run] = []
    for number, chosen in enumerate(recipes, 1):
        init = runs[-1].model if runs else first.init
        weights = None if runs else first.init_weights
        out = first.out / f"{number}-{chosen.name}"
        runs.append(replace(first, recipe=chosen, out=out, init=init, init_weights=weights))
    return runs


def train_stages(
    runs: Sequence[Run], options: TrainingOptions, accelerator: Accelerator, stop_signal: Callable[[], int]
) -> Iterator[Progress]:
    """Train the runs in their order until one is stopped; yields and raises as ``train``."""
    for run in runs:
        progress = None
        for progress in train(run, options, accelerator, stop_signal):
            yield progress
        if progress is None or not progress.finished:
            return


@dataclass(frozen=True)
class TrainingPlan:
    """Steps, time and disk of one stage, estimated.

    examples: Images of an epoch, with repetitions.
    micro_batch: Images at once, on each of ``devices``.
    seconds_per_step: The time of one micro-batch, forward, backward and update, times their number.
    loading_seconds: Of one step's images on one process; with workers it overlaps with the training.
    disk_bytes: States, model and curves at their largest; ``cache_bytes`` of a teacher's cache come on top.
    """

    stage: str
    recipe_hash: str
    scale: str
    epochs: int
    steps: int
    examples: int
    images: int
    batch: int
    micro_batch: int
    devices: int
    device: str
    parameters: int
    seconds_per_step: float
    loading_seconds: float
    hours: float
    disk_bytes: int
    cache_bytes: int


def plan(run: Run, options: TrainingOptions, accelerator: Accelerator) -> TrainingPlan:
    """Plan a run, with random initial weights whatever its ``init``. Raises as ``train``."""
    recipe = run.recipe
    run_task: Task = task[recipe.task].build(recipe)
    examples: Any = run_task.examples(run.data, run.seed)
    epochs, steps = recipe.epochs_and_steps(len(examples))
    shard = BatchShard(accelerator.process_index, accelerator.num_processes, options.micro_batch)
    stream = BatchStream(run_task, examples, run.seed, shard)
    keys = shard.micro_batches(stream.keys(0), recipe.image_size**2)
    state, batch, step_s, loading_s = _time_micro_batch(run, options, stream, accelerator, max(steps, TIMED_STEPS))
    seconds_per_step = step_s * len(keys)
    return TrainingPlan(
        stage=run.name,
        recipe_hash=recipe.hash,
        scale=recipe.scale,
        epochs=epochs,
        steps=steps,
        examples=len(examples),
        images=steps * recipe.batch,
        batch=recipe.batch,
        micro_batch=len(keys[0]),
        devices=accelerator.num_processes,
        device=accelerator.device.type,
        parameters=sum(p.numel() for p in state.model.parameters()),
        seconds_per_step=seconds_per_step,
        loading_seconds=loading_s * len(keys),
        hours=steps * seconds_per_step / 3600,
        disk_bytes=(STATES_KEPT + 1) * _state_bytes(state) + _bytes(state.final_model.state_dict()),
        cache_bytes=_cache_bytes(batch, len(examples)) if run.teacher_cache else 0,
    )


def _time_micro_batch(
    run: Run, options: TrainingOptions, stream: BatchStream, accelerator: Accelerator, steps: int
) -> tuple[TrainingState, dict[str, Any], float, float]:
    """Train on one micro-batch; return the state, the batch, and the seconds to train on it and to load it."""
    keys = stream.shard.micro_batches(stream.keys(0), run.recipe.image_size**2)[0]
    untrained = replace(run, init=None, init_weights=None, teacher_cache=None)
    with ExitStack() as stack:
        features = stack.enter_context(
            teacher_features(untrained, stream.task, stream.examples.checksums, accelerator)
        )
        state, _ = build_state(untrained, options, stream.task, steps, stream.steps_per_epoch, accelerator)
        start = time.perf_counter()
        items = [stream.examples[key] for key in keys]
        batch = stream.task.mix(stream.task.collate(items), seed=run.seed, epoch=0, step=0)
        loading_s = time.perf_counter() - start
        timed = [StepBatches(index, (batch,), (0,), (0,) * HASH_WORDS) for index in range(TIMED_STEPS)]
        start = time.perf_counter()
        for _ in fit(state, run.recipe, map(features.complete, timed), accelerator, run.seed):
            step_s, start = time.perf_counter() - start, time.perf_counter()
        return state, features.complete(timed[0]).micro_batches[0], step_s, loading_s


def _state_bytes(state: TrainingState) -> int:
    slots = sum(_bytes(tensors) for tensors in state.optimizer.state.values())
    return slots + _bytes(state.model.state_dict()) + (_bytes(state.ema.state_dict()) if state.ema else 0)


def _bytes(tensors: dict[str, Any]) -> int:
    return sum(x.numel() * x.element_size() for x in tensors.values() if isinstance(x, Tensor))


def _cache_bytes(batch: dict[str, Any], examples: int) -> int:
    """Return the bytes of all embeddings, if the batch has some."""
    if "embedding" not in batch:
        return 0
    embedding = batch["embedding"][0]
    return int(embedding.numel() * embedding.element_size() * examples)
