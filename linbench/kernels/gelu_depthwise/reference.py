"""GELU, a depthwise 3 × 3 convolution and GELU: the middle of an MBConv (arXiv 2406.19369, section 3.1).

    a = GELU(x),   u_ij = bias + sum_pq weight_pq a_{s i + p - 1, s j + q - 1},   y = GELU(u)     p, q = 0, 1, 2

Outside of the map a is 0. GELU is the exact one, x Φ(x).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from linbench.kernels.operators import relative_error, spread_indices, verifies

CHANNELS = 8  # that are verified


def gelu_depthwise(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """Return y, ``b c ceil(h/s) ceil(w/s)``; half inputs are computed in float32."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    a = functional.gelu(x.to(dtype))
    u = functional.conv2d(a, weight.to(dtype), bias.to(dtype), stride, padding=1, groups=len(weight))
    return functional.gelu(u).to(x.dtype)


def output_shape(shape: torch.Size, stride: int) -> torch.Size:
    """Return ``b c ceil(h/s) ceil(w/s)`` of ``b c h w``."""
    b, c, h, w = shape
    return torch.Size((b, c, (h + stride - 1) // stride, (w + stride - 1) // stride))


@verifies("linbench::gelu_depthwise")
def verify(arguments: Sequence[Any], output: Tensor) -> float:
    """Return the largest relative error on 8 channels of the first and of the last image.

    arguments: Of the operator: x, weight, bias, stride. A NaN and a wrong shape or dtype give infinity.
    """
    x, weight, bias, stride = arguments
    if output.shape != output_shape(x.shape, stride) or output.dtype != x.dtype:
        return float("inf")
    if not output.numel():
        return 0.0
    channels = spread_indices(x.shape[1], CHANNELS, x.device)
    sample = x[[0, -1]][:, channels].double()
    truth = gelu_depthwise(sample, weight[channels].double(), bias[channels].double(), stride)
    return relative_error(output[[0, -1]][:, channels], truth)
