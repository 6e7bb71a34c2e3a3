"""The addition to a residual stream and the norm in front of what reads it (RMSNorm: arXiv 1910.07467, eq. 4).

    z = residual + x    n = z / sqrt(mean(z²) + eps) · weight

Vim keeps the stream in float32 whatever the dtype of its weights, and gives n in theirs.
"""

import torch
from torch import Tensor


def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return n, ``b t c`` of weight's dtype, and z, ``b t c`` of residual's, computed in that dtype."""
    z = residual + x.to(residual.dtype)
    n = z * torch.rsqrt(z.square().mean(-1, keepdim=True) + eps) * weight.to(z.dtype)
    return n.to(weight.dtype), z
