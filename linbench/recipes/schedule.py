"""The learning-rate schedule that a recipe describes."""

from typing import Any

from torch.optim import Optimizer

from linbench.recipes.contract import Recipe


def build_schedule(optimizer: Optimizer, recipe: Recipe, steps: int, steps_per_epoch: int) -> Any:
    """Return timm's scheduler; ``step_update(n)`` sets the learning rate of step n, from 0, before it is taken."""
    from timm.scheduler import CosineLRScheduler, PolyLRScheduler

    warmup = min(recipe.warmup_steps or recipe.warmup_epochs * steps_per_epoch, steps - 1)
    options = {
        "t_initial": steps - warmup,
        "lr_min": recipe.lr * recipe.final_factor,
        "warmup_t": warmup,
        "warmup_lr_init": recipe.lr * recipe.warmup_factor,
        "warmup_prefix": True,
        "t_in_epochs": False,
    }
    if recipe.schedule == "poly":
        return PolyLRScheduler(optimizer, power=recipe.power, **options)
    return CosineLRScheduler(optimizer, **options)
