"""The selective scan beside a linear layer and the sequential loop: ``python benchmarks/selective_scan.py``."""

import time
from collections.abc import Callable
from typing import Any

import torch
from side_by_side import allocated, conditions, medians, table, under_both_allocators

from linbench.kernels import selective_scan
from linbench.kernels.selective_scan import cases

THREADS = 2
TURNS = 15
LINEAR = "linear 384 x 384"


def gradient(arguments: dict[str, Any]) -> Callable[[], object]:
    """Forward and backward of the scan, all inputs' gradients."""
    leaves = {k: v.detach().requires_grad_() if torch.is_tensor(v) else v for k, v in arguments.items()}
    wanted = [v for v in leaves.values() if torch.is_tensor(v)]

    def call() -> object:
        with torch.enable_grad():
            y = selective_scan(**leaves)
        return torch.autograd.grad(y, wanted, y.detach())

    return call


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    linear, tokens = torch.nn.Linear(384, 384), torch.randn(1, 4096, 384)
    vim, vmamba, long = cases.vim_s(), cases.vmamba_s(), cases.vim_s(16384)
    half = cases.vim_s(dtype=torch.bfloat16)
    times = medians(
        {
            LINEAR: lambda: linear(tokens),
            "Vim-S (d 768, n 16, t 4096)": lambda: selective_scan(**vim),
            "Vim-S, bfloat16": lambda: selective_scan(**half),
            "VMamba-S (4 x 192, n 1, t 4096)": lambda: selective_scan(**vmamba),
            "Vim-S, t 16384": lambda: selective_scan(**long),
            "Vim-S, forward and backward": gradient(vim),
        },
        TURNS,
    )
    start = time.perf_counter()
    selective_scan(**vim, impl="reference")
    loop = 1000 * (time.perf_counter() - start)
    setup = (
        "from linbench.kernels import selective_scan\n"
        "from linbench.kernels.selective_scan import cases\n"
        "arguments, little = cases.vim_s(16384), cases.vim_s(64)\n"
        "inputs = [x for x in arguments.values() if torch.is_tensor(x)]"
    )
    short = times["Vim-S (d 768, n 16, t 4096)"]
    print(conditions(TURNS) + "\n")
    print(table(times, LINEAR))
    print(f"\n4096 to 16384 tokens take {times['Vim-S, t 16384'] / short:.2f} times as long")
    print(f"the sequential loop takes {loop / short:.0f} times as long (one turn of it)")
    share = allocated(setup, "selective_scan(**little)", "selective_scan(**arguments)")
    print(f"bytes allocated / bytes of inputs: {share:.2f}")


if __name__ == "__main__":
    under_both_allocators(main)
