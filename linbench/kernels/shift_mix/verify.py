"""A measurement's gate: does this output belong to these inputs?"""

from typing import Any

import torch
from torch import Tensor

from linbench.kernels.shift_mix import reference


def verify(args: tuple[Any, ...], output: Tensor) -> float:
    """The largest error of three rows of the last image's grid, as a share of the largest truth; infinity for a NaN.

    args: The inputs of ``linbench::shift_mix``: x, weight, bias, mixes, eps, h, w.
    The truth is the equation in float64 of a row and its neighbours above and below.
    """
    x, weight, bias, mixes, eps, h, w = args
    if output.shape != (len(mixes), *x.shape) or output.dtype != x.dtype:
        return float("inf")
    if not x.numel():
        return 0.0
    image, found = x[-1].unflatten(0, (h, w)), output[:, -1].unflatten(1, (h, w))
    wide = [mix.double() for mix in mixes]
    worst = 0.0
    for row in sorted({0, h // 2, h - 1}):
        first = max(row - 1, 0)
        band = image[first : row + 2].double()
        grid, tokens = (len(band), w), band.flatten(0, 1)[None]
        if weight is None:
            truth = reference.shift_mix(tokens, wide, grid)
        else:
            truth = reference.norm_shift_mix(tokens, weight.double(), bias.double(), wide, grid, eps)
        true = truth[:, 0].unflatten(1, grid)[:, row - first]
        error = (found[:, row] - true).abs().max() / true.abs().max().clamp_min(torch.finfo(torch.float64).tiny)
        worst = max(worst, float(error.nan_to_num(nan=float("inf"))))
    return worst
