"""Norm, Q-Shift and mixes in plain operators, for deployment engines."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from linbench.kernels.operators import portable
from linbench.kernels.q_shift.portable import q_shift


@portable("linbench::shift_mix")
def shift_mix(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mixes: Sequence[Tensor], eps: float, h: int, w: int
) -> Tensor:
    """Return the mixes, ``m b (h w) c``: s + (n - s) μ has one product less than n μ + s (1 - μ)."""
    n = x if weight is None else functional.layer_norm(x, weight.shape, weight, bias, eps)
    s = q_shift(n, 1, 0.25, h, w)
    change = n - s
    return torch.stack([s + change * mix for mix in mixes])
