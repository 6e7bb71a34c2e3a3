"""What a task model is made of, found without knowing which backbone is in it."""

from collections.abc import Iterator
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint


def backbone_of(model: nn.Module) -> nn.Module:
    """The backbone inside a task model: the outermost module of that name, or the model itself."""
    named = (module for name, module in model.named_modules() if name.split(".")[-1] == "backbone")
    return next(named, model)


def recompute(model: nn.Module) -> int:
    """Compute the activations inside the backbone's blocks again in the backward pass, instead of keeping them.

    The numbers stay the same. Return how many blocks there are.
    """
    blocks = list(_blocks(backbone_of(model)))
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    return len(blocks)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules that stand in a row with others of their class and have parameters of several kinds."""
    children = list(module.children())
    if isinstance(module, (nn.ModuleList, nn.Sequential)):
        kinds = [type(child) for child in children if _is_large(child)]
        row = {kind for kind in kinds if kinds.count(kind) > 1}
        for child in children:
            if type(child) in row:
                yield child
            else:
                yield from _blocks(child)
        return
    for child in children:
        yield from _blocks(child)


def _is_large(module: nn.Module) -> bool:
    """Whether it holds several modules with parameters: a block, no single layer."""
    return sum(any(True for _ in part.parameters(recurse=False)) for part in module.modules()) > 1
