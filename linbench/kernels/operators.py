"""What the suites need to know of each registered operator: the bytes it moves, and the error of its output.

An op's package registers both when it is imported, the bytes in ``op.py`` and the check in ``reference.py``:

    @byte_formula("linbench::q_shift")              @verifies("linbench::q_shift")
    def moved_bytes(x, *_):                         def verify(arguments, output):
        return 2 * tensor_bytes(x)                      ...

A byte formula takes the operator's arguments, on any device, ``meta`` included.

A deployment engine knows none of these operators. ``portable.py`` of an op's package registers its form in plain
operators: ``portable`` a function of the operator's arguments, ``lowering`` one that must first look at the calls in
the program, as where a form is right for small weights only.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

F = TypeVar("F", bound=Callable[..., Any])
#: ``(arguments, output) -> error``: the largest error on a sample, as a fraction of the largest true value.
Verifier = Callable[[Sequence[Any], Any], float]
#: The arguments of an operator's calls in a program: a tensor that the program holds, or computes from such ones, is
#: itself; another one is a ``meta`` tensor of its shape.
Calls = Sequence[Sequence[Any]]
#: ``(engine, calls) -> function`` of the operator's arguments, of plain operators alone. Raises NotPortable.
Lowering = Callable[[str, Calls], Callable[..., Any]]

_BYTES: dict[str, Callable[..., int]] = {}
_VERIFIERS: dict[str, Verifier] = {}
_LOWERINGS: dict[str, Lowering] = {}


class NotPortable(ValueError):
    """An operator whose plain form would be wrong for a program's weights or shapes; the message names the bound."""


class EagerMode(TorchDispatchMode):
    """A mode that sees the operators of eager forwards; it does not import torch's compiler, which takes a second."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


def byte_formula(*operators: str) -> Callable[[F], F]:
    """Register the decorated function as the byte formula of ``operators``, by qualified name."""
    return _register(_BYTES, operators)


def verifies(*operators: str) -> Callable[[F], F]:
    """Register the decorated function as the ``Verifier`` of ``operators``, by qualified name."""
    return _register(_VERIFIERS, operators)


def lowering(*operators: str) -> Callable[[F], F]:
    """Register the decorated function as the ``Lowering`` of ``operators``, by qualified name."""
    return _register(_LOWERINGS, operators)


def portable(*operators: str) -> Callable[[F], F]:
    """Register the decorated function as the plain form of ``operators``, whatever the engine and the calls."""

    def register(function: F) -> F:
        _LOWERINGS.update(dict.fromkeys(operators, lambda engine, calls: function))
        return function

    return register


def _register(registry: dict[str, Any], operators: Sequence[str]) -> Callable[[F], F]:
    def register(function: F) -> F:
        registry.update(dict.fromkeys(operators, function))
        return function

    return register


def bytes_moved(operator: str) -> Callable[..., int]:
    """Return the byte formula of an operator of linbench; raise LookupError that names one without a formula."""
    if operator not in _BYTES:
        raise LookupError(f"{operator} has no byte formula; add one to op.py in its package of linbench.kernels")
    return _BYTES[operator]


def verifier(operator: str) -> Verifier | None:
    """Return the check of an operator against its reference; ``None`` for an operator that has none."""
    return _VERIFIERS.get(operator)


def lowering_of(operator: str) -> Lowering:
    """Return how an operator becomes plain ones; raise LookupError that names one without a plain form."""
    if operator not in _LOWERINGS:
        raise LookupError(f"{operator} has no plain form; add portable.py to its package in linbench.kernels")
    return _LOWERINGS[operator]


def tensor_bytes(*tensors: Tensor | None) -> int:
    """Return the bytes of the distinct elements: an expanded axis counts once, ``None`` counts nothing."""
    return sum(_distinct_bytes(x) for x in tensors if x is not None)


def _distinct_bytes(x: Tensor) -> int:
    sizes = (size if stride or not size else 1 for size, stride in zip(x.shape, x.stride(), strict=True))
    return math.prod(sizes) * x.element_size()


def relative_error(output: Tensor, truth: Tensor) -> float:
    """Return the largest error as a fraction of the largest true value, in float64.

    It is infinity for a NaN or another shape, 0 for no numbers at all.
    """
    if output.shape != truth.shape:
        return float("inf")
    if not truth.numel():
        return 0.0
    truth = truth.double()
    smallest = torch.finfo(torch.float64).tiny
    error = (output.double() - truth).abs().max() / truth.abs().max().clamp_min(smallest)
    return float(error.nan_to_num(nan=float("inf")))


def spread_indices(size: int, count: int, device: torch.device) -> Tensor:
    """Return up to ``count`` indices, evenly spread over ``range(size)``, the first and the last among them."""
    return torch.linspace(0, size - 1, min(size, count), device=device).round().long()
