"""Recipes: frozen descriptions of training runs that cannot name a backbone. A new one is a file and an import."""

from linbench.recipes import classification, distillation, promptable, semantic
from linbench.recipes.changes import UnknownField, diff, flat, override, shortened
from linbench.recipes.contract import PIPELINES, Batch, Recipe, Source, Task, batch_hash, order, recipe, task

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
    "flat",
    "order",
    "override",
    "promptable",
    "recipe",
    "semantic",
    "shortened",
    "task",
]
