"""GELU, a depthwise 3 × 3 convolution and GELU: the middle of an MBConv (arXiv 2406.19369, section 3.1).

    a = GELU(x),   u_ij = bias + sum_pq weight_pq a_{s i + p - 1, s j + q - 1},   y = GELU(u)     p, q = 0, 1, 2

Outside of the map a is 0. GELU is the exact one, x Φ(x).
"""

import torch
from torch import Tensor
from torch.nn import functional


def gelu_depthwise(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """Return y, ``b c ceil(h/s) ceil(w/s)``; half inputs are computed in float32."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    a = functional.gelu(x.to(dtype))
    u = functional.conv2d(a, weight.to(dtype), bias.to(dtype), stride, padding=1, groups=len(weight))
    return functional.gelu(u).to(x.dtype)
