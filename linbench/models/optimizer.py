"""AdamW of a model: its parameter groups and the optimizer, from the values that a recipe has."""

from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import AdamW, Optimizer


class OptimizerValues(Protocol):
    """The values of AdamW; a ``Recipe`` has them, and explains each."""

    @property
    def lr(self) -> float:
        """Learning rate of parameters whose factor is 1."""
        ...

    @property
    def betas(self) -> tuple[float, float]:
        """Decay of the two moments."""
        ...

    @property
    def eps(self) -> float:
        """Added to the root of the second moment."""
        ...

    @property
    def weight_decay(self) -> float:
        """Of the parameters that decay."""
        ...

    @property
    def undecayed(self) -> tuple[str, ...]:
        """Parts of the names of parameters that do not decay."""
        ...

    @property
    def decay_vectors(self) -> bool:
        """Whether parameters of one axis decay."""
        ...

    @property
    def head_lr(self) -> float:
        """Factor of the learning rate of a head."""
        ...


def parameter_groups(model: nn.Module, values: OptimizerValues) -> list[dict[str, Any]]:
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
        is_exempt = name.rpartition(".")[0] in norms or any(part in name for part in values.undecayed)
        decays = not is_exempt and (values.decay_vectors or not is_vector)
        groups.setdefault((decays, values.head_lr if "head" in name else 1.0), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": values.weight_decay if decays else 0.0, "lr_scale": scale}
        for (decays, scale), parameters in sorted(groups.items(), key=lambda group: group[0])
    ]


def _is_norm(module: nn.Module) -> bool:
    """Return whether a module is a normalization, torch's or a backbone's own, and no block around one."""
    return "Norm" in type(module).__name__ and next(module.children(), None) is None


def build_optimizer(groups: list[dict[str, Any]], values: OptimizerValues) -> Optimizer:
    """Return AdamW over groups of ``parameter_groups``; fused, which is faster on a CPU too."""
    return AdamW(groups, lr=values.lr, betas=values.betas, eps=values.eps, fused=True)
