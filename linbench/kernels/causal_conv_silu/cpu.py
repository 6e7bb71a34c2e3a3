"""Causal convolution and SiLU on the CPU, channel-last: x is read from memory once, and k times from the cache."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from linbench.kernels import half_floats
from linbench.kernels.compiled import compiled
from linbench.kernels.half_floats import flat
from linbench.kernels.memory import on_huge_pages
from linbench.kernels.simd import LANES, exp2, load, prefetch, single_of, store
from linbench.kernels.threads import parallel_for


@compiled(error_model="numpy", fastmath={"contract", "nsz"})
def _forward(
    x: Any, batch: int, step: int, weight: Any, bias: Any, y: Any, t: int, backward: bool, start: int, stop: int
) -> None:
    """Write the tokens ``start:stop`` of all images; ``batch`` and ``step`` are x's strides of images and tokens."""
    d = bias.size
    taps = weight.size // d  # weight: k d
    one, minus_log2e = single_of(1.0), single_of(-1.4426950408889634)
    for row in range(start, stop):
        image, token = row // t, row % t
        first = max(0, taps - 1 - token)  # taps before it would read before the start
        oldest = token - taps + 1
        away = -step if backward else step
        at = image * batch + (t - 1 - oldest if backward else oldest) * step
        if d >= LANES:
            for k in range(0, d, LANES):
                i = min(k, d - LANES)  # the last vector overlaps the one before it
                prefetch(x, at + (taps + 1) * away + i)
                a = load(bias, i)
                for j in range(first, taps):
                    a = a + load(weight, j * d + i) * load(x, at + j * away + i)
                store(y, row * d + i, a / (one + exp2(a * minus_log2e)))
        else:
            for i in range(d):
                value = bias[i]
                for j in range(first, taps):
                    value += weight[j * d + i] * half_floats.load(x[at + j * away + i])
                y[row * d + i] = half_floats.narrow(value / (np.float32(1) + np.exp(-value)), y[0])


def causal_conv_silu(x: Tensor, weight: Tensor, bias: Tensor, backward: bool, y: Tensor) -> Tensor:
    """Fill y, ``b d t``, and return it; arguments as of ``op``.

    x is copied where its channels are not neighbours in memory; float64 goes through torch's own operators.
    """
    b, d, t = x.shape
    if not x.numel():
        return y
    if x.dtype == torch.float64:
        return y.copy_(functional.silu(_convolved(_read(x, backward, x.dtype), weight, bias)))
    x = x.detach() if x.stride(1) == 1 else x.detach().transpose(1, 2).contiguous().transpose(1, 2)
    rows = on_huge_pages(y if y.stride(1) == 1 else x.new_empty(b, t, d).transpose(1, 2))
    parameters = (flat(p.detach().float()) for p in (weight.T, bias))
    span = x.as_strided((1 + sum((n - 1) * s for n, s in zip(x.shape, x.stride(), strict=True)),), (1,))
    run = partial(
        _forward,
        flat(span),
        x.stride(0),
        x.stride(2),
        *parameters,
        flat(rows.transpose(1, 2)),
        t,
        backward,
    )
    parallel_for(run, b * t, grain=16)
    return y if rows is y else y.copy_(rows)


def _read(x: Tensor, backward: bool, dtype: torch.dtype) -> Tensor:
    """Return x in the order of reading."""
    return (x.flip(2) if backward else x).to(dtype)


def _convolved(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    seen = functional.pad(x, (weight.shape[1] - 1, 0))
    return functional.conv1d(seen, weight[:, None].to(x.dtype), bias.to(x.dtype), groups=len(weight))


def causal_conv_silu_backward(
    gy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, backward: bool, gx: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Fill gx, ``b d t``; return it and the gradients of weight and bias, by torch's own operators."""
    wide = torch.promote_types(x.dtype, torch.float32)
    if not x.numel():
        return gx, torch.zeros_like(weight), torch.zeros_like(bias)
    taps = weight.shape[1]
    read = _read(x, backward, wide)
    ga = torch.ops.aten.silu_backward(gy.to(wide), _convolved(read, weight, bias))
    ahead = functional.pad(ga, (0, taps - 1))
    g = functional.conv1d(ahead, weight.flip(1)[:, None].to(wide), groups=len(weight))
    gx.copy_(g.flip(2) if backward else g)
    t = x.shape[2]
    seen = functional.pad(read, (taps - 1, 0))
    gweight = torch.stack([(ga * seen[:, :, j : j + t]).sum((0, 2)) for j in range(taps)], dim=1)
    return gx, gweight.to(weight.dtype), ga.sum((0, 2)).to(bias.dtype)
