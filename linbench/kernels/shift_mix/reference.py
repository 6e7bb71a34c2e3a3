"""How a block of Vision-RWKV prepares its projections' inputs (arXiv 2403.02308, eq. 2; RWKV-SAM paper, eq. 2).

    n = LayerNorm(x)    s = Q-Shift(n)    y_m = n μ_m + s (1 - μ_m)    for each mix m

Q-Shift is by one pixel and moves a quarter of the channels in each direction, as both papers' models do: a quarter
ends at channel ``c j // 4``, j = 1..4. Outside the grid s is 0, and not the norm's bias.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from linbench.kernels.operators import relative_error, verifies
from linbench.kernels.q_shift import reference


def norm_shift_mix(
    x: Tensor, weight: Tensor, bias: Tensor, mixes: Sequence[Tensor], grid: tuple[int, int], eps: float
) -> Tensor:
    """Return y, ``m b (h w) c``, of the normalised tokens x, ``b (h w) c``; half inputs are computed in float32."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    n = torch.nn.functional.layer_norm(x.to(dtype), weight.shape, weight.to(dtype), bias.to(dtype), eps)
    return shift_mix(n, mixes, grid).to(x.dtype)


def shift_mix(x: Tensor, mixes: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
    """Return y, ``m b (h w) c``, of the tokens x, ``b (h w) c``, as they are: n = x."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    n = x.to(dtype)
    s = reference.q_shift(n, 1, 1 / 4, grid)
    return torch.stack([n * mix.to(dtype) + s * (1 - mix.to(dtype)) for mix in mixes]).to(x.dtype)


@verifies("linbench::shift_mix")
def verify(arguments: Sequence[Any], output: Tensor) -> float:
    """Return the largest relative error on three rows of the last image's grid.

    arguments: Of the operator: x, weight, bias, mixes, eps, h, w. A NaN and a wrong shape or dtype give infinity.
    The truth is the equation in float64 of a row and its neighbours above and below.
    """
    x, weight, bias, mixes, eps, h, w = arguments
    if output.shape != (len(mixes), *x.shape) or output.dtype != x.dtype:
        return float("inf")
    if not x.numel():
        return 0.0
    image, y = x[-1].unflatten(0, (h, w)), output[:, -1].unflatten(1, (h, w))
    wide = [mix.double() for mix in mixes]
    worst = 0.0
    for row in sorted({0, h // 2, h - 1}):
        first = max(row - 1, 0)
        band = image[first : row + 2].double()
        grid, tokens = (len(band), w), band.flatten(0, 1)[None]
        if weight is None:
            truth = shift_mix(tokens, wide, grid)
        else:
            truth = norm_shift_mix(tokens, weight.double(), bias.double(), wide, grid, eps)
        worst = max(worst, relative_error(y[:, row], truth[:, 0].unflatten(1, grid)[:, row - first]))
    return worst
