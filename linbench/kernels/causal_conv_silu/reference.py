"""The causal depthwise convolution of Mamba and its SiLU (arXiv 2312.00752, section 3.4; Vim, algorithm 1).

    a_t = bias + sum_j weight_j x_{t - k + 1 + j},   y_t = a_t sigmoid(a_t)    j = 0..k-1, x before the start = 0

Vim reads the tokens in both directions: from the last to the first this is the same of x reversed, and y is in the
order of reading, so that the scan behind it goes on in that order.
"""

import torch
from torch import Tensor


def causal_conv_silu(x: Tensor, weight: Tensor, bias: Tensor, backward: bool) -> Tensor:
    """Return y, ``b d t``; half inputs are computed in float32."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    read = (x.flip(2) if backward else x).to(dtype)
    seen = torch.nn.functional.pad(read, (weight.shape[1] - 1, 0))
    a = torch.nn.functional.conv1d(seen, weight[:, None].to(dtype), bias.to(dtype), groups=len(weight))
    return torch.nn.functional.silu(a).to(x.dtype)
