"""Gradient checkpointing (arXiv 1604.06174) of the backbone inside a task model: its blocks, one by one."""

from collections.abc import Iterator
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint as checkpointed


def backbone_of(model: nn.Module) -> nn.Module:
    """Return the backbone inside a task model: the outermost module of that name, or the model itself."""
    named = (module for name, module in model.named_modules() if name.split(".")[-1] == "backbone")
    return next(named, model)


def checkpoint_blocks(model: nn.Module) -> int:
    """Recompute the activations inside the backbone's blocks in the backward pass instead of storing them.

    The numbers stay the same. Return the number of blocks.
    """
    blocks = list(_blocks(backbone_of(model)))
    for block in blocks:
        block.forward = partial(checkpointed, block.forward, use_reentrant=False)
    return len(blocks)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the outermost modules that repeat in a row and have parameters in several modules."""
    children = list(module.children())
    if isinstance(module, (nn.ModuleList, nn.Sequential)):
        kinds = [type(child) for child in children if _is_large(child)]
        repeated = {kind for kind in kinds if kinds.count(kind) > 1}
        for child in children:
            if type(child) in repeated:
                yield child
            else:
                yield from _blocks(child)
        return
    for child in children:
        yield from _blocks(child)


def _is_large(module: nn.Module) -> bool:
    """Return whether several modules in it have parameters: a block, and no single layer."""
    return sum(any(True for _ in part.parameters(recurse=False)) for part in module.modules()) > 1
