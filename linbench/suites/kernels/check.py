"""The work and the correctness check of a cell of ``kernels``: an op at a shape, in a dtype and a direction.

Both record the calls of our operators: the FLOPs and bytes are sums of their formulas.

Forward: ``fast`` is compared with its equation on a sample in float64, as the check of ``latency`` does it; another
implementation with ``fast`` in every number, within twice the budget. Backward: the gradients are compared with true
ones in float64 (``BenchCase.gradients``).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

from linbench.kernels import verifier
from linbench.kernels.bench_cases import BenchCase, Inputs, is_floating, leaves, outputs
from linbench.kernels.operators import EagerMode, bytes_moved, relative_error
from linbench.suites.runner.correctness import BUDGET

#: Largest error of a gradient, as a fraction of its largest true value. In half dtypes 8 units in the last place:
#: y, kept in that dtype, enters every term, and terms cancel in sums over tokens.
GRADIENT_BUDGET = {torch.float32: 1e-4, torch.bfloat16: 2.0**-5, torch.float16: 2.0**-8}


class Calls(EagerMode):
    """A record of the arguments and outputs of our operators while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[str, tuple[Any, ...], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.namespace == "linbench":
            self.calls.append((func._schema.name, args, out))
        return out


def work(case: BenchCase, dtype: torch.dtype, direction: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the FLOPs and minimal bytes of one direction: those of our own operators, whichever one runs.

    Raises LookupError that names an operator without a formula.
    """
    arguments = {name: x.to("meta") if isinstance(x, Tensor) else x for name, x in case.inputs(dtype).items()}
    if direction == "forward":
        with torch.no_grad(), Calls() as recorder:
            case.function(**arguments, impl="fast")
    else:
        arguments = leaves(arguments)
        ys = outputs(case.function(**arguments, impl="fast"))
        wanted = [x for x in arguments.values() if is_floating(x)]
        with Calls() as recorder:
            torch.autograd.grad(ys, wanted, [torch.empty_like(y) for y in ys])
    flops = moved = 0
    for name, args, out in recorder.calls:
        packet = getattr(torch.ops.linbench, name.split("::")[1])
        if packet not in flop_registry:
            raise LookupError(f"{name} has no FLOP formula; register one in op.py of its package")
        flops += flop_registry[packet](*args, out_val=out)
        moved += bytes_moved(name)(*args)
    return {"flops": {"value": flops, "unit": "FLOP"}, "bytes": {"value": moved, "unit": "B"}}


def forward_error(case: BenchCase, inputs: Inputs, impl: str) -> tuple[float, float]:
    """Return the largest error of the outputs, as a fraction of the largest true value, and the budget."""
    with torch.no_grad(), Calls() as recorder:
        ys = outputs(case.function(**inputs, impl="fast"))
    budget = BUDGET[ys[0].dtype]
    worst = 0.0
    for name, args, out in recorder.calls:
        verify: Callable[..., float] | None = verifier(name)
        if verify is None:
            raise LookupError(f"{name} has no verifier; add one to reference.py in its package of linbench.kernels")
        worst = max(worst, verify(args, out))
    if impl == "fast":
        return worst, budget
    with torch.no_grad():
        others = outputs(case.function(**inputs, impl=impl))
    difference = max(relative_error(other, y) for y, other in zip(ys, others, strict=True))
    return max(worst, difference), 2 * budget


def gradient_error(case: BenchCase, inputs: Inputs, impl: str) -> tuple[float, float]:
    """Return the largest error of the gradients, as a fraction of each one's largest true value, and the budget."""
    arguments = leaves(inputs)
    ys = outputs(case.function(**arguments, impl=impl))
    gys, truths = case.gradients(inputs, ys)
    gradients = torch.autograd.grad(ys, [arguments[name] for name in truths], gys)
    return max(map(relative_error, gradients, truths.values())), GRADIENT_BUDGET[ys[0].dtype]


def check(
    case: BenchCase, inputs: Inputs, impl: str, directions: Sequence[str]
) -> tuple[dict[str, float], list[str]]:
    """Return the error of each direction, and a sentence for each that is wrong."""
    measures = {"forward": forward_error, "backward": gradient_error}
    errors, wrong = {}, []
    for direction in directions:
        error, budget = measures[direction](case, inputs, impl)
        errors[direction] = error
        if not error <= budget:  # NaN is wrong too
            wrong.append(f"its {direction} is off by {error:.1e} of the largest true value, allowed {budget:.0e}")
    return errors, wrong
