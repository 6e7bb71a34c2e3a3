"""Recipes in a row on one backbone: each stage begins with what the one before it has learnt.

    out/1-imagenet/model.safetensors -> out/2-sam-distill/ -> out/3-sam-joint/

A pipeline that was interrupted goes on in the stage where it was, and finished stages are not trained again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches

from accelerate import Accelerator

from linbench.recipes.changes import flat, override, shortened
from linbench.recipes.contract import PIPELINES, Recipe, recipe
from linbench.registry import UnknownName
from linbench.train.job import Job
from linbench.train.run import Progress, train
from linbench.train.session import How


def recipes_of(pipeline: str) -> list[Recipe]:
    """The recipes of a pipeline; raises UnknownName."""
    if pipeline not in PIPELINES:
        near = get_close_matches(pipeline, PIPELINES, n=1, cutoff=0.5)
        hint = f"nearest is {near[0]}" if near else f"there are {', '.join(PIPELINES)}"
        raise UnknownName(f"unknown pipeline {pipeline!r}: {hint}")
    return [recipe[name].build() for name in PIPELINES[pipeline]]


def changed(recipes: Sequence[Recipe], changes: Sequence[str], scale: str) -> list[Recipe]:
    """The recipes at a scale, with changes: ``lr=2e-4`` of each that has such a value, ``sam-joint.lr=2e-4`` of one.

    Raises UnknownField, a ValueError, where none of them has it, and ValueError for a value that does not fit.
    """
    found = [shortened(chosen) if scale == "smoke" else chosen for chosen in recipes]
    its: dict[str, list[str]] = {chosen.name: [] for chosen in found}
    for change in changes:
        names, own = _meant(change, found)
        key = own.partition("=")[0].strip()
        takes = [chosen.name for chosen in found if chosen.name in names and key in flat(chosen)]
        if not takes:
            override(next(chosen for chosen in found if chosen.name in names), own)  # says what there is
        for name in takes:
            its[name].append(own)
    return [override(chosen, *its[chosen.name]) for chosen in found]


def _meant(change: str, recipes: Sequence[Recipe]) -> tuple[list[str], str]:
    """The recipes that a change is for, and it without their name in front; ``imagenet.images`` is a value's own."""
    names = [chosen.name for chosen in recipes]
    of, _, rest = change.partition(".")
    if of not in names or any(change.partition("=")[0].strip() in flat(chosen) for chosen in recipes):
        return names, change
    return [of], rest


def stages(first: Job, recipes: Sequence[Recipe]) -> list[Job]:
    """Jobs that follow each other in folders below the first's; a single recipe has the folder itself."""
    if len(recipes) == 1:
        return [replace(first, recipe=recipes[0])]
    jobs: list[Job] = []
    for number, chosen in enumerate(recipes, 1):
        init = jobs[-1].model if jobs else first.init
        which = None if jobs else first.init_weights
        out = first.out / f"{number}-{chosen.name}"
        jobs.append(replace(first, recipe=chosen, out=out, init=init, init_weights=which))
    return jobs


def train_all(
    jobs: Sequence[Job], how: How, accelerator: Accelerator, stopping: Callable[[], int]
) -> Iterator[Progress]:
    """Train the jobs in their order, until one is stopped; yields and raises as ``train``."""
    for job in jobs:
        last = None
        for last in train(job, how, accelerator, stopping):
            yield last
        if last is None or not last.finished:
            return
