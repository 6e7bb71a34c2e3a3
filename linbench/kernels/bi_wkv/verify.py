"""A measurement's gate: does this output belong to these inputs?"""

from typing import Any

import torch
from torch import Tensor

from linbench.kernels.bi_wkv import reference

CHANNELS = 6
ROWS = 32


def verify(args: tuple[Any, ...], output: Tensor | tuple[Tensor, ...]) -> float:
    """The largest error of the output on a sample, divided by the largest true value there; infinity for a NaN.

    args: The inputs of ``linbench::bi_wkv``, w, u, k, v, or of ``linbench::gated_bi_wkv``, and r.
    output: What that operator returned, or its form ``_with_lse``.
    The truth is the direct sum in float64, for a few channels and some 32 tokens, first and last among them.
    """
    w, u, k, v, *gate = args
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
    for r in gate:
        truth = truth * r[image][:, rows][..., channels].double().sigmoid()
    error = (y[image][:, rows][..., channels] - truth).abs().max().item()
    return error / truth.abs().max().item() if error == error else float("inf")
