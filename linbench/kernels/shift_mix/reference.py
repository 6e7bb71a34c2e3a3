"""How a block of Vision-RWKV prepares its projections' inputs (arXiv 2403.02308, eq. 2; RWKV-SAM paper, eq. 2).

    n = LayerNorm(x)    s = Q-Shift(n)    y_m = n μ_m + s (1 - μ_m)    for each mix m

Q-Shift is by one pixel and moves a quarter of the channels in each direction, as both papers' models do: a quarter
ends at channel ``c j // 4``, j = 1..4. Beside the grid s is 0, and not the norm's bias.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

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
