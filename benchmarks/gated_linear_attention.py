"""Gated linear attention beside a linear layer: ``python benchmarks/gated_linear_attention.py``.

CPU time of the process on one thread, contenders in turn: other programs on the machine then weigh least.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from side_by_side import conditions

from linbench.kernels import gated_linear_attention
from linbench.kernels.bench_cases import Inputs, leaves
from linbench.kernels.gated_linear_attention.cases import TIMED, GatedCase

TURNS = 11
LINEAR = "Linear(384, 384), t 4096"
VRWKV6 = "VRWKV6-S, both scans, t 4096"
LONG = "VRWKV6-S, both scans, t 16384"


def cpu_times(contenders: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median CPU time of each in ms, over turns in the order given, after one that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(TURNS + 1):
        for name, call in contenders.items():
            start = time.process_time()
            call()
            times[name].append(1000 * (time.process_time() - start))
    return {name: statistics.median(all_[1:]) for name, all_ in times.items()}


def gradient(case: GatedCase) -> Callable[[], object]:
    """Return a call of forward and backward with all inputs' gradients."""
    given: Inputs = leaves(case.inputs())
    wanted = [x for x in given.values() if x is not None]

    def call() -> object:
        with torch.enable_grad():
            y = gated_linear_attention(**given)
        return torch.autograd.grad(y, wanted, y.detach())

    return call


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    linear, tokens = torch.nn.Linear(384, 384), torch.randn(1, 4096, 384)
    vrwkv6 = TIMED["vrwkv6-s at 1024"]
    forward = {
        VRWKV6: vrwkv6,
        "VRWKV6-S, forward scan alone, t 4096": replace(vrwkv6, backward=False),
        "ViG-S, both scans, keys of 32, t 4096": TIMED["vig-s at 1024"],
        "6 heads of 64, one decay per head, one scan, t 4096": TIMED["mamba-2, 6 heads, at 1024"],
        LONG: replace(vrwkv6, t=16384),
    }
    contenders: dict[str, Callable[[], object]] = {LINEAR: lambda: linear(tokens)}
    for name, case in forward.items():
        contenders[name] = partial(gated_linear_attention, **case.inputs())
    contenders["VRWKV6-S, both scans, t 4096, forward and backward"] = gradient(vrwkv6)
    times = cpu_times(contenders)
    print(f"{conditions(TURNS)}, CPU time\n\n| | ms | x linear |\n|---|---|---|")
    for name, value in times.items():
        print(f"| {name} | {value:.1f} | {value / times[LINEAR]:.2f} |")
    print(f"\n4096 to 16384 tokens take {times[LONG] / times[VRWKV6]:.2f} times as long")


if __name__ == "__main__":
    main()
