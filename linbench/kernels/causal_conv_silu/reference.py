"""The causal depthwise convolution of Mamba and its SiLU (arXiv 2312.00752, section 3.4; Vim, algorithm 1).

    a_t = bias + sum_j weight_j x_{t - k + 1 + j},   y_t = a_t sigmoid(a_t)    j = 0..k-1, x before the start = 0

Vim reads the tokens in both directions: from the last to the first this is the same of x reversed, and y is in the
order of reading, so that the scan behind it continues in that order.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from linbench.kernels.operators import relative_error, spread_indices, verifies

CHANNELS = 8  # that are verified


def causal_conv_silu(x: Tensor, weight: Tensor, bias: Tensor, backward: bool) -> Tensor:
    """Return y, ``b d t``; half inputs are computed in float32."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    read = (x.flip(2) if backward else x).to(dtype)
    padded = torch.nn.functional.pad(read, (weight.shape[1] - 1, 0))
    a = torch.nn.functional.conv1d(padded, weight[:, None].to(dtype), bias.to(dtype), groups=len(weight))
    return torch.nn.functional.silu(a).to(x.dtype)


@verifies("linbench::causal_conv_silu")
def verify(arguments: Sequence[Any], output: Tensor) -> float:
    """Return the largest relative error on 8 channels of the first and of the last image.

    arguments: Of the operator: x, weight, bias, backward. A NaN and a wrong shape or dtype give infinity.
    """
    x, weight, bias, backward = arguments
    if output.shape != x.shape or output.dtype != x.dtype:
        return float("inf")
    if not x.numel():
        return 0.0
    channels = spread_indices(x.shape[1], CHANNELS, x.device)
    sample = x[[0, -1]][:, channels].double()
    truth = causal_conv_silu(sample, weight[channels].double(), bias[channels].double(), backward)
    return relative_error(output[[0, -1]][:, channels], truth)
