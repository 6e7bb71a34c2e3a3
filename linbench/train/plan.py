"""What a run would be: steps, time and disk, from its recipe and two micro-batches that are timed."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from accelerate import Accelerator
from torch import Tensor

from linbench.recipes.contract import Task, task
from linbench.train.batches import WORDS, Feed, Share, Step
from linbench.train.files import KEPT
from linbench.train.job import Job
from linbench.train.loop import State, fit
from linbench.train.session import How, build_state
from linbench.train.teacher_features import teaching

TIMED = 3  # micro-batches that are run, of which the last counts: kernels compile in the first


@dataclass(frozen=True)
class Plan:
    """One stage.

    examples: Images of an epoch, repetitions counted.
    micro_batch: Images at once, on each of ``devices``.
    seconds_per_step: Estimated: what one micro-batch took, forward, backward and update, times their number.
    loading_seconds: Of one step's images on one process; it goes on beside the training where there are workers.
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


def plan(job: Job, how: How, accelerator: Accelerator) -> Plan:
    """Plan the job; its first weights are random, whatever it would begin with. Raises as ``train``."""
    recipe = job.recipe
    its_task: Task = task[recipe.task].build(recipe)
    examples: Any = its_task.examples(job.data, job.seed)
    epochs, steps = recipe.epochs_and_steps(len(examples))
    share = Share(accelerator.process_index, accelerator.num_processes, how.micro_batch)
    feed = Feed(its_task, examples, job.seed, share)
    cut = share.cut(feed.keys(0), recipe.image_size**2)
    with ExitStack() as stack:
        bare = replace(job, init=None, init_weights=None, teacher_cache=None)
        taught = stack.enter_context(teaching(bare, its_task, examples.checksums, accelerator))
        state, _ = build_state(bare, how, its_task, max(steps, TIMED), feed.steps_per_epoch, accelerator)
        start = time.perf_counter()
        batch = its_task.mix(its_task.collate([examples[key] for key in cut[0]]), seed=job.seed, epoch=0, step=0)
        loading = (time.perf_counter() - start) * len(cut)
        one = [Step(number, (batch,), (0,), (0,) * WORDS) for number in range(TIMED)]
        for _ in fit(state, recipe, map(taught.step, one), accelerator, job.seed):
            elapsed, start = time.perf_counter() - start, time.perf_counter()
    per_step = elapsed * len(cut)
    return Plan(
        stage=job.name,
        recipe_hash=recipe.hash,
        scale=recipe.scale,
        epochs=epochs,
        steps=steps,
        examples=len(examples),
        images=steps * recipe.batch,
        batch=recipe.batch,
        micro_batch=len(cut[0]),
        devices=accelerator.num_processes,
        device=accelerator.device.type,
        parameters=sum(p.numel() for p in state.model.parameters()),
        seconds_per_step=per_step,
        loading_seconds=loading,
        hours=steps * per_step / 3600,
        disk_bytes=(KEPT + 1) * _state_bytes(state) + _bytes(state.kept.state_dict()),
        cache_bytes=_cache_bytes(taught.step(one[0]).micro[0], len(examples)) if job.teacher_cache else 0,
    )


def _state_bytes(state: State) -> int:
    slots = sum(_bytes(its) for its in state.optimiser.state.values())
    return slots + _bytes(state.model.state_dict()) + (_bytes(state.ema.state_dict()) if state.ema else 0)


def _bytes(tensors: dict[str, Any]) -> int:
    return sum(x.numel() * x.element_size() for x in tensors.values() if isinstance(x, Tensor))


def _cache_bytes(batch: dict[str, Any], examples: int) -> int:
    if "embedding" not in batch:
        return 0
    one = batch["embedding"][0]
    return int(one.numel() * one.element_size() * examples)
