"""AdamW's parameter groups, the optimizer and the learning-rate schedule that a recipe describes."""

from typing import Any

from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from linbench.recipes.contract import Recipe


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Return the trainable parameters in groups of one weight decay and one factor of the learning rate.

    Weights and biases of normalizations never decay. Where vectors do not decay either, the rule is that of timm's
    ``param_groups_weight_decay``.
    """
    groups: dict[tuple[bool, float], list[Tensor]] = {}
    norms = {name for name, module in model.named_modules() if _is_norm(module)}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        is_vector = parameter.ndim <= 1 or name.endswith(".bias")
        is_exempt = name.rpartition(".")[0] in norms or any(part in name for part in recipe.undecayed)
        decays = not is_exempt and (recipe.decay_vectors or not is_vector)
        groups.setdefault((decays, recipe.head_lr if "head" in name else 1.0), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": recipe.weight_decay if decays else 0.0, "lr_scale": scale}
        for (decays, scale), parameters in sorted(groups.items(), key=lambda group: group[0])
    ]


def _is_norm(module: nn.Module) -> bool:
    """Return whether a module is a normalization, torch's or a backbone's own, and no block around one."""
    return "Norm" in type(module).__name__ and next(module.children(), None) is None


def build_optimizer(groups: list[dict[str, Any]], recipe: Recipe) -> Optimizer:
    """Return AdamW over groups of ``parameter_groups``; fused, which is faster on a CPU too."""
    return AdamW(groups, lr=recipe.lr, betas=recipe.betas, eps=recipe.eps, fused=True)


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
