"""Norm, shift and mixes at RWKV-SAM's shapes."""

import torch
from torch import Tensor

from linbench.kernels.bench_cases import Timed
from linbench.kernels.impl import Impl
from linbench.kernels.shift_mix import cost
from linbench.kernels.shift_mix.cases import CASES, Case
from linbench.kernels.shift_mix.op import norm_shift_mix

__all__ = ["TIMED", "cost"]


def spatial(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mix_k: Tensor,
    mix_v: Tensor,
    mix_r: Tensor,
    grid: tuple[int, int],
    *,
    impl: Impl | str = Impl.FAST,
) -> Tensor:
    """The three mixes of a spatial mix, each an argument of its own."""
    return norm_shift_mix(x, weight, bias, [mix_k, mix_v, mix_r], grid, impl=impl)


def _timed(case: Case) -> Timed:
    def inputs(dtype: torch.dtype) -> dict[str, object]:
        x, weight, bias, mixes = case.inputs(dtype)
        named = dict(zip(("mix_k", "mix_v", "mix_r"), mixes, strict=True))
        return {"x": x, "weight": weight, "bias": bias, **named, "grid": case.grid}

    return Timed(spatial, inputs, case.b, case.h * case.w, case.c)


TIMED = {
    "norm_shift_mix": {
        "toy": _timed(Case(2, 3, 7, 39)),
        "rwkv-sam-s at 1024": _timed(CASES["rwkv-sam-s at 1024"]),
        "rwkv-sam-s at 4096": _timed(Case(1, 256, 256, 384)),
    }
}
