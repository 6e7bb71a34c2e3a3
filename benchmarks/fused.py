"""The fused chains on two CPU threads, float32: torch's operators in a row / one kernel, in turn in one run.

    python benchmarks/fused.py

torch's operators in a row are each chain's reference, which in float32 is what the plain form of a backbone runs.
Freed memory is kept, as under the preset `best`, so the run is in a process of its own.
"""

from functools import partial

import torch
from side_by_side import conditions, medians, under_best

from linbench.kernels.bench_cases import load_bench_cases
from linbench.kernels.gelu_depthwise.cases import CASES as MAPS

THREADS = 2
TURNS = 9
CHAINS = {
    "add_rms_norm": "vim-s at 1024",
    "causal_conv_silu": "vim-s at 1024",
    "norm_shift_mix": "rwkv-sam-s at 1024",
}


def measure() -> None:
    """Print the table."""
    torch.set_num_threads(THREADS)
    calls = {}
    for op, case in CHAINS.items():
        found = load_bench_cases()[op][case]
        calls[f"{op}, {case}"] = partial(found.function, **found.inputs(torch.float32))
    for name, size in MAPS.items():
        if "rwkv-sam-s" in name:
            function = load_bench_cases()["gelu_depthwise"]["toy"].function
            calls[f"gelu_depthwise, {name}"] = partial(function, *size.inputs(), stride=size.stride)
    print(conditions(TURNS))
    with torch.inference_mode():
        for name, call in calls.items():
            times = medians({impl: partial(call, impl=impl) for impl in ("reference", "fast")}, TURNS)
            plain, fused = times["reference"], times["fast"]
            print(f"{name:46}{plain:8.2f} ms /{fused:8.2f} ms ={plain / fused:6.2f}")


if __name__ == "__main__":
    under_best(measure, THREADS)
