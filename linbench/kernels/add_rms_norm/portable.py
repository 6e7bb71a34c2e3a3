"""The residual addition and its norm in plain operators, for deployment engines."""

import torch
from torch import Tensor

from linbench.kernels.operators import portable


@portable("linbench::add_rms_norm")
def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return n, ``b t c`` of weight's dtype, and z = residual + x, ``b t c`` of residual's."""
    z = residual + x.to(residual.dtype)
    n = z * torch.rsqrt((z * z).mean(-1, keepdim=True) + eps) * weight.to(z.dtype)
    return n.to(weight.dtype), z
