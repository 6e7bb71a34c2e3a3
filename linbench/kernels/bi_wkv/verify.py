"""A measurement's gate: does this output belong to these inputs?"""

from typing import Any

import torch
from torch import Tensor

from linbench.kernels.bi_wkv import reference

CHANNELS = 6
ROWS = 32


def verify(args: tuple[Any, ...], output: Tensor | tuple[Tensor, ...]) -> float:
    """The largest error of the output on a sample, divided by the largest true value there; infinity for a NaN.

    args: The inputs of ``linbench::bi_wkv`` (or ``bi_wkv_with_lse``): w, u, k, v.
    The truth is the direct sum in float64, for a few channels and some 32 tokens, first and last among them.
    """
    w, u, k, v = args[:4]
    y = output if isinstance(output, Tensor) else output[0]
    b, t, c = v.shape
    if y.shape != v.shape or y.dtype != v.dtype:
        return float("inf")
    if not v.numel():
        return 0.0
    channels = torch.linspace(0, c - 1, min(c, CHANNELS), device=v.device).round().long()
    rows = torch.linspace(0, t - 1, min(t, ROWS), device=v.device).round().long()
    image = slice(b - 1, b)
    w, u = w[channels].double(), u[channels].double()
    k, v = k[image][..., channels].double(), v[image][..., channels].double()
    truth = torch.cat([reference.bi_wkv(w, u, k, v, rows=part) for part in rows.split(8)], dim=1)
    error = (y[image][:, rows][..., channels] - truth).abs().max().item()
    return error / truth.abs().max().item() if error == error else float("inf")
