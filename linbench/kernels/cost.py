"""Bytes that an op has to move: each input read once, each output written once.

The formulas stand in each op's ``cost.py``, beside the FLOP formulas that its ``op.py`` registers with torch:

    @byte_formula("linbench::q_shift")
    def moved(x, *_):
        return 2 * held(x)

They take the registered operator's arguments, on any device, ``meta`` included.
"""

import math
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

F = TypeVar("F", bound=Callable[..., int])

_FORMULAS: dict[str, Callable[..., int]] = {}


def byte_formula(*operators: str) -> Callable[[F], F]:
    """Register the decorated formula for ``operators``, by qualified name."""

    def register(formula: F) -> F:
        _FORMULAS.update(dict.fromkeys(operators, formula))
        return formula

    return register


def bytes_moved(operator: str) -> Callable[..., int]:
    """The byte formula of a registered op of ours; raises LookupError that names an op without one."""
    for name in modules("cost"):
        import_module(name)
    if operator not in _FORMULAS:
        raise LookupError(f"{operator} has no byte formula; add one to cost.py in its package of linbench.kernels")
    return _FORMULAS[operator]


def modules(part: str) -> list[str]:
    """The module ``part`` of each op package that has it; the packages are the folders beside this file."""
    found = sorted(Path(__file__).parent.glob(f"*/{part}.py"))
    return [f"linbench.kernels.{path.parent.name}.{part}" for path in found]


def held(*tensors: Any) -> int:
    """Bytes of the distinct elements of ``tensors``: an axis that was expanded counts once, None nothing."""
    return sum(map(_bytes, tensors))


def _bytes(x: Tensor | None) -> int:
    if x is None:
        return 0
    sizes = (size if stride or not size else 1 for size, stride in zip(x.shape, x.stride(), strict=True))
    return math.prod(sizes) * x.element_size()
