"""The addition to a residual stream and the norm in front of what reads it (RMSNorm: arXiv 1910.07467, eq. 4).

    z = residual + x    n = z / sqrt(mean(z²) + eps) · weight

Vim keeps the stream in float32 whatever the dtype of its weights, and gives n in theirs.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from linbench.kernels.operators import relative_error, spread_indices, verifies

TOKENS = 64  # of an image that are verified


def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return n, ``b t c`` of weight's dtype, and z, ``b t c`` of residual's, computed in that dtype."""
    z = residual + x.to(residual.dtype)
    n = z * torch.rsqrt(z.square().mean(-1, keepdim=True) + eps) * weight.to(z.dtype)
    return n.to(weight.dtype), z


@verifies("linbench::add_rms_norm")
def verify(arguments: Sequence[Any], outputs: Sequence[Tensor]) -> float:
    """Return the larger relative error of n and z, on 64 tokens of the first and the last image.

    arguments: Of the operator: x, residual, weight, eps. A NaN and a wrong shape or dtype give infinity.
    """
    x, residual, weight, eps = arguments
    n, z = outputs
    if n.shape != x.shape or z.shape != x.shape or n.dtype != weight.dtype or z.dtype != residual.dtype:
        return float("inf")
    if not x.numel():
        return 0.0
    tokens = spread_indices(x.shape[1], TOKENS, x.device)

    def sample(y: Tensor) -> Tensor:
        return y[[0, -1]][:, tokens].double()

    truths = add_rms_norm(sample(x), sample(residual), weight.double(), eps)
    return max(relative_error(sample(y), truth) for y, truth in zip((n, z), truths, strict=True))
