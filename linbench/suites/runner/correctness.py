"""The correctness check: no latency without kernels that were right at this length and dtype (rule 12).

It watches one real forward of the measured model and compares each call of a linbench op with its reference, on the
inputs, strides and dtype that the model gave it. Scan kernels overflow or lose digits exactly at high resolution, so
nothing smaller would do.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch

from linbench.kernels import verifier
from linbench.kernels.operators import EagerMode

#: Largest error allowed, as a fraction of max|y|: the goldens' tolerance in float32 and float64, and for half dtypes
#: the rounding of inputs' products to the output: one unit in its last place.
BUDGET = {torch.float64: 1e-9, torch.float32: 2e-5, torch.bfloat16: 2.0**-7, torch.float16: 2.0**-10}
SECONDS = 5.0  # each op's first call of a signature is always checked; further layers while this lasts


@dataclass
class Verdict:
    """The result of a check.

    errors: Largest error by op, as a fraction of max|y|.  checked, calls: Calls of ops that were checked, and all.
    wrong: One sentence by op that broke its budget.
    """

    errors: dict[str, float] = field(default_factory=dict)
    checked: int = 0
    calls: int = 0
    wrong: list[str] = field(default_factory=list)


class KernelChecker(EagerMode):
    """Compares calls of linbench's ops with their references while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.verdict = Verdict()
        self.signatures: set[Any] = set()
        self.until = time.perf_counter() + SECONDS

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator, and check it where it is one of ours."""
        out = func(*args, **(kwargs or {}))
        name = func._schema.name
        if verifier(name):
            self.verdict.calls += 1
            signature = (name, *((a.shape, a.stride(), a.dtype) for a in args if isinstance(a, torch.Tensor)))
            if signature not in self.signatures or time.perf_counter() < self.until:
                self.signatures.add(signature)
                self._check(name, args, out)
        return out

    def _check(self, name: str, args: Any, out: Any) -> None:
        first = out if isinstance(out, torch.Tensor) else out[0]
        verify = verifier(name)
        assert verify is not None
        error = verify(args, out)
        self.verdict.checked += 1
        op = name.split("::")[1]
        if math.isfinite(error):
            self.verdict.errors[op] = max(self.verdict.errors.get(op, 0.0), error)
        budget = BUDGET[first.dtype]
        if not error <= budget:  # NaN is wrong too
            shapes = ", ".join(str(tuple(a.shape)) for a in args if isinstance(a, torch.Tensor))
            self.verdict.wrong.append(f"{op}({shapes}) is off by {error:.1e} of max|y|, allowed {budget:.0e}")


def check_kernels(run: Callable[[], Iterable[torch.Tensor]]) -> Verdict:
    """Run one forward and check the ops in it; an output that is not finite is wrong as well."""
    with torch.inference_mode(), KernelChecker() as checker:
        outputs = tuple(run())
    for i, output in enumerate(outputs):
        if not torch.isfinite(output).all():
            checker.verdict.wrong.append(f"output {i} holds values that are not finite")
    return checker.verdict
