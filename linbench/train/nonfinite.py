"""Numbers that are not finite: which step, which images, and which module made the first of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


class NotFinite(ArithmeticError):
    """A loss or a gradient with NaN or infinity in it.

    step: The step that it stopped, from 0.
    ids: Of the images that it was computed of.
    module: The first one whose output was not finite though its input was; empty where the forward pass was.
    """

    def __init__(self, step: int, ids: list[str], module: str, what: str) -> None:
        where = f", made by {module}" if module else ""
        super().__init__(f"step {step}: {what}{where}")
        self.step = step
        self.ids = ids
        self.module = module


@dataclass
class Found:
    """What a watch saw.

    name: Of the first module with finite input and an output that is not; empty while there is none.
    """

    name: str = ""


@contextmanager
def first_not_finite(model: nn.Module) -> Iterator[Found]:
    """Watch the model's forward passes; an inner module is named before those that hold it."""
    found = Found()

    def hook(name: str) -> Any:
        def after(_: nn.Module, inputs: Any, output: Any) -> None:
            if not found.name and not finite(output) and finite(inputs):
                found.name = name

        return after

    handles = [module.register_forward_hook(hook(name)) for name, module in model.named_modules() if name]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def finite(value: Any) -> bool:
    """Whether all tensors in a module's arguments or output are finite."""
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(value.isfinite().all())
    if isinstance(value, dict):
        return all(finite(part) for part in value.values())
    if isinstance(value, (list, tuple)):
        return all(finite(part) for part in value)
    return True
