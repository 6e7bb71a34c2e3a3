"""What an op at a shape has to do, from its formulas and no data: FLOPs and bytes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

from linbench.kernels.bench_cases import BenchCase, is_floating, leaves, outputs
from linbench.kernels.operators import bytes_moved
from linbench.suites.kernel_check import Calls


def work(case: BenchCase, dtype: torch.dtype, direction: str) -> Mapping[str, Mapping[str, Any]]:
    """FLOPs and minimal bytes of one direction; whichever implementation runs, those of our own operators.

    Raises LookupError that names an operator without a formula.
    """
    given = {name: x.to("meta") if isinstance(x, Tensor) else x for name, x in case.inputs(dtype).items()}
    if direction == "forward":
        with torch.no_grad(), Calls() as seen:
            case.function(**given, impl="fast")
    else:
        given = leaves(given)
        ys = outputs(case.function(**given, impl="fast"))
        wanted = [x for x in given.values() if is_floating(x)]
        with Calls() as seen:
            torch.autograd.grad(ys, wanted, [torch.empty_like(y) for y in ys])
    flops = moved = 0
    for name, args, out in seen.calls:
        packet = getattr(torch.ops.linbench, name.split("::")[1])
        if packet not in flop_registry:
            raise LookupError(f"{name} has no FLOP formula; register one in op.py of its package")
        flops += flop_registry[packet](*args, out_val=out)
        moved += bytes_moved(name)(*args)
    return {"flops": {"value": flops, "unit": "FLOP"}, "bytes": {"value": moved, "unit": "B"}}
