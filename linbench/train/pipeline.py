"""Recipes in a row on one backbone, the stages of a pipeline: choose them, train them.

    out/1-imagenet/model.safetensors -> out/2-sam-distill/ -> out/3-sam-joint/

Each stage begins with the weights of the one before. An interrupted pipeline resumes in its stage; finished stages
are not trained again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches

from accelerate import Accelerator

from linbench.recipes.changes import flat_values, override, shorten
from linbench.recipes.contract import PIPELINES, Recipe, recipe
from linbench.registry import UnknownName
from linbench.train.run import Run, TrainingOptions
from linbench.train.training import Progress, train


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
