"""The correctness gate of the suite ``kernels``: an op at a shape, an implementation and a dtype, both directions.

Forward: ``fast`` is held against its equation on a sample in float64, as the gate of ``latency`` does it; another
implementation against ``fast`` in every number, within twice the budget. Backward: the gradients against true ones
in float64 (``BenchCase.gradients``).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from linbench.kernels import verifier
from linbench.kernels.bench_cases import BenchCase, Inputs, leaves, outputs
from linbench.suites.gate import BUDGET

#: Largest error of a gradient, as a share of its largest true value. In half dtypes 8 units in the last place:
#: y, kept in that dtype, enters every term, and terms cancel in sums over tokens.
GRADIENT_BUDGET = {torch.float32: 1e-4, torch.bfloat16: 2.0**-5, torch.float16: 2.0**-8}


class Calls(TorchDispatchMode):
    """Keeps what our operators were called with and returned, while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[str, tuple[Any, ...], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.namespace == "linbench":
            self.calls.append((func._schema.name, args, out))
        return out


def forward_error(case: BenchCase, inputs: Inputs, impl: str) -> tuple[float, float]:
    """The largest error of the outputs as a share of the largest true value, and what is allowed."""
    with torch.no_grad(), Calls() as seen:
        ys = outputs(case.function(**inputs, impl="fast"))
    budget = BUDGET[ys[0].dtype]
    worst = 0.0
    for name, args, out in seen.calls:
        verify: Callable[..., float] | None = verifier(name)
        if verify is None:
            raise LookupError(f"{name} has no verifier; add one to reference.py in its package of linbench.kernels")
        worst = max(worst, verify(args, out))
    if impl == "fast":
        return worst, budget
    with torch.no_grad():
        others = outputs(case.function(**inputs, impl=impl))
    apart = max(_apart(y, other) for y, other in zip(ys, others, strict=True))
    return max(worst, apart), 2 * budget


def gradient_error(case: BenchCase, inputs: Inputs, impl: str) -> tuple[float, float]:
    """The largest error of the inputs' gradients as a share of each one's largest true value, and what is allowed."""
    given = leaves(inputs)
    ys = outputs(case.function(**given, impl=impl))
    gys, truths = case.gradients(inputs, ys)
    found = torch.autograd.grad(ys, [given[name] for name in truths], gys)
    return max(map(_apart, truths.values(), found)), GRADIENT_BUDGET[ys[0].dtype]


def check(
    case: BenchCase, inputs: Inputs, impl: str, directions: Sequence[str]
) -> tuple[dict[str, float], list[str]]:
    """The error of each direction, and a sentence for each that is wrong."""
    measures = {"forward": forward_error, "backward": gradient_error}
    errors, wrong = {}, []
    for direction in directions:
        error, budget = measures[direction](case, inputs, impl)
        errors[direction] = error
        if not error <= budget:  # NaN is wrong too
            wrong.append(f"its {direction} is off by {error:.1e} of the largest true value, allowed {budget:.0e}")
    return errors, wrong


def _apart(truth: Tensor, found: Tensor) -> float:
    if truth.shape != found.shape:
        return float("inf")
    if not truth.numel():
        return 0.0
    error = (truth.double() - found.double()).abs().max() / truth.double().abs().max().clamp_min(1e-300)
    return float(error.nan_to_num(nan=float("inf")))
