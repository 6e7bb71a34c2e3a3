"""Recipes: frozen descriptions of training runs that cannot name a backbone. A new recipe is a file and an import."""

from linbench.recipes import classification, distillation, promptable, semantic
from linbench.recipes.changes import UnknownField, diff, flat_values, override, shorten
from linbench.recipes.contract import PIPELINES, Batch, Recipe, Source, Task, batch_hash, epoch_order, recipe, task

__all__ = [
    "PIPELINES",
    "Batch",
    "Recipe",
    "Source",
    "Task",
    "UnknownField",
    "batch_hash",
    "classification",
    "diff",
    "distillation",
    "epoch_order",
    "flat_values",
    "override",
    "promptable",
    "recipe",
    "semantic",
    "shorten",
    "task",
]
