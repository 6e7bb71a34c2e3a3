"""Cases at the models' shapes, as the suite ``kernels`` times them, and true gradients to check a backward against.

The ``cases.py`` of each op package holds ``BENCH_CASES``: op → name of the case → ``BenchCase``. The case ``toy`` is
a quick trial of the suite and is timed only on request.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Inputs = Mapping[str, Any]
#: Gradients of the outputs to differentiate with, one for each, and by input the true gradient, float64.
TrueGradients = tuple[Sequence[Tensor], Mapping[str, Tensor]]


@dataclass(frozen=True)
class BenchCase:
    """An op at a model's shape.

    function: The public function; takes ``inputs`` by name, and ``impl``.
    inputs: ``dtype -> arguments``, on the CPU.
    batch, tokens, width: Of the linear layer and the attention that the op is timed beside.
    sample_gradients: ``inputs -> TrueGradients``; by default the reference in float64, which must then be cheap at
        this shape.
    has_vendor: Returns whether the op has a vendor implementation whose package is installed.
    """

    function: Callable[..., Any]
    inputs: Callable[[torch.dtype], Inputs]
    batch: int
    tokens: int
    width: int
    sample_gradients: Callable[[Inputs], TrueGradients] | None = None
    has_vendor: Callable[[], bool] = lambda: False

    def gradients(self, inputs: Inputs, ys: Sequence[Tensor]) -> TrueGradients:
        """Return random gradients of the outputs ys, and the inputs' true gradients for them, in float64."""
        if self.sample_gradients:
            return self.sample_gradients(inputs)
        return reference_gradients(self.function, inputs, ys)


def load_bench_cases() -> dict[str, dict[str, BenchCase]]:
    """Return op → name of the case → case, of every op package."""
    return {op: cases for module in case_modules() for op, cases in import_module(module).BENCH_CASES.items()}


def case_modules() -> list[str]:
    """Return the module ``cases`` of each op package; the packages are the folders beside this file."""
    paths = sorted(Path(__file__).parent.glob("*/cases.py"))
    return [f"linbench.kernels.{path.parent.name}.cases" for path in paths]


def case_module(op: str) -> str:
    """Return the module that holds the timed cases of ``op``."""
    return next(module for module in case_modules() if op in import_module(module).BENCH_CASES)


def leaves(inputs: Inputs, dtype: torch.dtype | None = None) -> dict[str, Any]:
    """Return the arguments with each floating tensor a leaf that requires its gradient, in ``dtype`` if given.

    Strides are kept, as are expanded axes.
    """
    return {
        name: x.detach().to(dtype or x.dtype).requires_grad_() if is_floating(x) else x for name, x in inputs.items()
    }


def is_floating(x: object) -> bool:
    """Return whether ``x`` is a tensor that may have a gradient."""
    return isinstance(x, Tensor) and x.is_floating_point()


def outputs(y: Any) -> tuple[Tensor, ...]:
    """Return a function's result as a tuple of tensors."""
    return (y,) if isinstance(y, Tensor) else tuple(y)


def reference_gradients(function: Callable[..., Any], inputs: Inputs, ys: Sequence[Tensor]) -> TrueGradients:
    """Return normal gradients of ys, the outputs of ``function``, and those of its whole reference in float64."""
    wide = leaves(inputs, torch.float64)
    generator = torch.Generator().manual_seed(1)
    gys = [torch.randn(y.shape, generator=generator).to(y) for y in ys]
    names = [name for name, x in wide.items() if is_floating(x)]
    true_ys = outputs(function(**wide, impl="reference"))
    gradients = torch.autograd.grad(true_ys, [wide[name] for name in names], [gy.double() for gy in gys])
    return gys, dict(zip(names, gradients, strict=True))
