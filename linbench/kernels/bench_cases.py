"""Cases at the models' shapes, as the suite ``kernels`` times them, and true gradients to hold a backward against.

Each op package has a ``timed.py`` with ``TIMED``: op → name of the case → ``Timed``. The case ``toy`` of an op is for
trying the suite out and is timed only where it is asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from linbench.kernels.cost import modules

Inputs = Mapping[str, Any]
#: Gradients of y to differentiate with, one for each output, and by input the true gradient, float64.
Sample = tuple[Sequence[Tensor], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Timed:
    """One op at one model's shape.

    function: The public function; takes ``inputs`` by name, and ``impl``.
    inputs: ``dtype -> arguments``, on the CPU.
    batch, tokens, width: Of the linear layer and the attention that it is timed beside.
    sample: ``inputs -> Sample``; by default the reference in float64, which must then be cheap at this shape.
    vendor: Whether the op has a vendor implementation, where that package is installed.
    """

    function: Callable[..., Any]
    inputs: Callable[[torch.dtype], Inputs]
    batch: int
    tokens: int
    width: int
    sample: Callable[[Inputs], Sample] | None = None
    vendor: Callable[[], bool] = lambda: False

    def gradients(self, inputs: Inputs, ys: Sequence[Tensor]) -> Sample:
        """Random gradients of the outputs ys, and what they make of the inputs, in float64."""
        return self.sample(inputs) if self.sample else dense(self.function, inputs, ys)


def timed() -> dict[str, dict[str, Timed]]:
    """Op → name of the case → case, of every op package."""
    return {op: cases for module in _modules() for op, cases in module.TIMED.items()}


def source(op: str) -> str:
    """The module that holds the timed cases of ``op``."""
    return next(module.__name__ for module in _modules() if op in module.TIMED)


def _modules() -> list[Any]:
    return [import_module(name) for name in modules("timed")]


def leaves(inputs: Inputs, dtype: torch.dtype | None = None) -> dict[str, Any]:
    """The arguments with each floating tensor a leaf that asks for its gradient, of ``dtype`` where given.

    Strides are kept, as are their expanded axes.
    """
    return {
        name: x.detach().to(dtype or x.dtype).requires_grad_() if is_floating(x) else x for name, x in inputs.items()
    }


def is_floating(x: object) -> bool:
    """Whether ``x`` is a tensor that may have a gradient."""
    return isinstance(x, Tensor) and x.is_floating_point()


def outputs(y: Any) -> tuple[Tensor, ...]:
    """A function's result as a tuple of tensors."""
    return (y,) if isinstance(y, Tensor) else tuple(y)


def dense(function: Callable[..., Any], inputs: Inputs, ys: Sequence[Tensor]) -> Sample:
    """Normal gradients of each of ys, the outputs of ``function``, and those of its reference in float64."""
    wide = leaves(inputs, torch.float64)
    generator = torch.Generator().manual_seed(1)
    gys = [torch.randn(y.shape, generator=generator).to(y) for y in ys]
    names = [name for name, x in wide.items() if is_floating(x)]
    truths = outputs(function(**wide, impl="reference"))
    found = torch.autograd.grad(truths, [wide[name] for name in names], [gy.double() for gy in gys])
    return gys, dict(zip(names, found, strict=True))
