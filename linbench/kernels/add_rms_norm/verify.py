"""A measurement's gate: do these outputs belong to these inputs?"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from linbench.kernels.add_rms_norm import reference

TOKENS = 64


def verify(args: Sequence[Any], outputs: Sequence[Tensor]) -> float:
    """The larger error of n and z on 64 tokens of the first and the last image, as a share of the largest truth.

    args: The inputs of ``linbench::add_rms_norm``: x, residual, weight, eps. Infinity for a NaN.
    """
    x, residual, weight, eps = args
    n, z = outputs
    if n.shape != x.shape or z.shape != x.shape or n.dtype != weight.dtype or z.dtype != residual.dtype:
        return float("inf")
    if not x.numel():
        return 0.0
    rows = torch.linspace(0, x.shape[1] - 1, min(x.shape[1], TOKENS), device=x.device).round().long()

    def some(y: Tensor) -> Tensor:
        return y[[0, -1]][:, rows].double()

    worst = 0.0
    for found, truth in zip(
        (n, z), reference.add_rms_norm(some(x), some(residual), weight.double(), eps), strict=True
    ):
        error = (some(found) - truth).abs().max() / truth.abs().max().clamp_min(torch.finfo(torch.float64).tiny)
        worst = max(worst, float(error.nan_to_num(nan=float("inf"))))
    return worst
