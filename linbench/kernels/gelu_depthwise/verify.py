"""A measurement's gate: does this output belong to these inputs?"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from linbench.kernels.gelu_depthwise import reference
from linbench.kernels.gelu_depthwise.op import output_shape

CHANNELS = 8


def verify(args: Sequence[Any], output: Tensor) -> float:
    """The largest error on 8 channels of the first and of the last image, as a share of the largest truth.

    args: The inputs of ``linbench::gelu_depthwise``: x, weight, bias, stride. Infinity for a NaN.
    """
    x, weight, bias, stride = args
    if output.shape != output_shape(x.shape, stride) or output.dtype != x.dtype:
        return float("inf")
    if not output.numel():
        return 0.0
    picked = torch.linspace(0, x.shape[1] - 1, min(x.shape[1], CHANNELS), device=x.device).round().long()
    some = x[[0, -1]][:, picked].double()
    truth = reference.gelu_depthwise(some, weight[picked].double(), bias[picked].double(), stride)
    error = (output[[0, -1]][:, picked] - truth).abs().max()
    error /= truth.abs().max().clamp_min(torch.finfo(torch.float64).tiny)
    return float(error.nan_to_num(nan=float("inf")))
