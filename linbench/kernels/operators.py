"""What the suites need to know of each registered operator: the bytes it moves, and the error of its output.

An op's package registers both when it is imported, the bytes in ``op.py`` and the check in ``reference.py``:

    @byte_formula("linbench::q_shift")              @verifies("linbench::q_shift")
    def moved_bytes(x, *_):                         def verify(arguments, output):
        return 2 * tensor_bytes(x)                      ...

A byte formula takes the operator's arguments, on any device, ``meta`` included.
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

_BYTES: dict[str, Callable[..., int]] = {}
_VERIFIERS: dict[str, Verifier] = {}


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
