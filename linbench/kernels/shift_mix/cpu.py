"""Norm, Q-Shift and mixes on the CPU: x is read from memory once and each mix is written once.

A thread goes down the rows of the grid and stores the mean and deviation of the tokens of three rows. The neighbours
above and below are read again while they are still in the cache, and normalised again, which costs two
multiplications and saves a map of normalised tokens. A vector holds sixteen channels.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from linbench.kernels import half_floats
from linbench.kernels.compiled import compiled
from linbench.kernels.half_floats import flat
from linbench.kernels.memory import on_huge_pages
from linbench.kernels.q_shift import slices
from linbench.kernels.simd import LANES, broadcast, load, splat, store, total
from linbench.kernels.threads import parallel_for

_jit = {"error_model": "numpy", "fastmath": {"contract", "nsz"}}
_inline = {"forceinline": True, "error_model": "numpy"}


@njit(**_inline)
def _moments(x: Any, row: int, w: int, c: int, eps: Any, moments: Any) -> None:
    """Write the mean and 1 / sqrt(variance + eps) of a grid row's tokens, in two passes, to slot ``row % 3``."""
    real = type(eps)
    nothing = splat(real(0))
    whole = c - c % (4 * LANES)
    slot = row % 3 * w
    for j in range(w):
        at = (row * w + j) * c
        a0, a1, a2, a3 = nothing, nothing, nothing, nothing  # four sums: none waits for the last addition
        for i in range(at, at + whole, 4 * LANES):
            a0 = a0 + load(x, i)
            a1 = a1 + load(x, i + LANES)
            a2 = a2 + load(x, i + 2 * LANES)
            a3 = a3 + load(x, i + 3 * LANES)
        mean = total((a0 + a1) + (a2 + a3))
        for i in range(at + whole, at + c):
            mean += half_floats.load(x[i])
        mean /= real(c)
        m = splat(mean)
        a0, a1, a2, a3 = nothing, nothing, nothing, nothing
        for i in range(at, at + whole, 4 * LANES):
            d0, d1 = load(x, i) - m, load(x, i + LANES) - m
            d2, d3 = load(x, i + 2 * LANES) - m, load(x, i + 3 * LANES) - m
            a0 = a0 + d0 * d0
            a1 = a1 + d1 * d1
            a2 = a2 + d2 * d2
            a3 = a3 + d3 * d3
        square = total((a0 + a1) + (a2 + a3))
        for i in range(at + whole, at + c):
            square += (half_floats.load(x[i]) - mean) ** 2
        moments[2 * (slot + j)] = mean
        moments[2 * (slot + j) + 1] = real(1) / np.sqrt(square / real(c) + eps)


@njit(**_inline)
def _mixes(x: Any, y: Any, weight: Any, bias: Any, mixes: Any, row: int, h: int, w: int, moments: Any) -> None:
    """Write the mixes of a grid row's tokens."""
    real = type(weight[0])
    c, size = weight.size, x.size
    count = mixes.size // c
    zero, one = splat(real(0)), splat(real(1))
    slot, above, below = row % 3 * w, (row + 2) % 3 * w, (row + 1) % 3 * w
    up, down = row % h > 0, row % h < h - 1
    for j in range(w):
        here, at = (row * w + j) * c, 2 * (slot + j)
        m, a = broadcast(moments, at), broadcast(moments, at + 1)
        for quarter in range(4):
            if quarter == 0:
                exists, source, at_s = j > 0, here - c, at - 2
            elif quarter == 1:
                exists, source, at_s = j < w - 1, here + c, at + 2
            elif quarter == 2:
                exists, source, at_s = up, here - w * c, 2 * (above + j)
            else:
                exists, source, at_s = down, here + w * c, 2 * (below + j)
            at_s = at_s if exists else at
            m_s, a_s = broadcast(moments, at_s), broadcast(moments, at_s + 1)
            first, last = c * quarter >> 2, c * (quarter + 1) >> 2
            if last - first < LANES:
                for i in range(first, last):
                    g, b, mean, scale = weight[i], bias[i], moments[at], moments[at + 1]
                    n_i = (half_floats.load(x[here + i]) - mean) * (scale * g) + b
                    s_i = real(0)
                    if exists:
                        s_i = (half_floats.load(x[source + i]) - moments[at_s]) * (moments[at_s + 1] * g) + b
                    for p in range(count):
                        mix_i = mixes[p * c + i]
                        y[p * size + here + i] = half_floats.narrow(n_i * mix_i + s_i * (real(1) - mix_i), y[0])
            else:
                for k in range(first, last, LANES):
                    i = min(k, last - LANES)  # the last vector overlaps the one before it
                    g, b = load(weight, i), load(bias, i)
                    n = (load(x, here + i) - m) * (a * g) + b
                    s = zero
                    if exists:
                        s = (load(x, source + i) - m_s) * (a_s * g) + b
                    for p in range(count):
                        mix = load(mixes, p * c + i)
                        store(y, p * size + here + i, n * mix + s * (one - mix))


@compiled(**_jit)
def _forward(
    x: Any, weight: Any, bias: Any, mixes: Any, eps: Any, normed: bool, y: Any, h: int, w: int, start: int, stop: int
) -> None:
    """Write the rows ``start:stop`` of all images' grids."""
    c = weight.size
    moments = np.zeros(6 * w, weight.dtype)
    moments[1::2] = 1  # without a norm, a mean of 0 and a scale of 1 change nothing
    for row in range(start, stop):
        i = row % h
        if normed and (row == start or i == 0):
            if i > 0:
                _moments(x, row - 1, w, c, eps, moments)
            _moments(x, row, w, c, eps, moments)
        if normed and i < h - 1:
            _moments(x, row + 1, w, c, eps, moments)
        _mixes(x, y, weight, bias, mixes, row, h, w, moments)


def shift_mix(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mixes: Sequence[Tensor], eps: float, h: int, w: int
) -> Tensor:
    """Return y, ``m b (h w) c``; arguments as of ``op``. x is copied where it is not contiguous."""
    x = x.detach().contiguous()
    y = on_huge_pages(x.new_empty(len(mixes), *x.shape))
    if x.numel():
        wide = torch.promote_types(x.dtype, torch.float32)
        gain = torch.ones(x.shape[2]) if weight is None else weight
        offset = torch.zeros(x.shape[2]) if bias is None else bias
        parameters = [flat(p.detach().to(wide)) for p in (gain, offset, torch.stack(list(mixes)))]
        eps = parameters[0].dtype.type(eps)
        run = partial(_forward, flat(x), *parameters, eps, weight is not None, flat(y), h, w)
        parallel_for(run, x.shape[0] * h)
    return y


def shift_mix_backward(
    gy: Tensor,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mixes: Sequence[Tensor],
    eps: float,
    h: int,
    w: int,
) -> list[Tensor]:
    """Return the gradients of x, of weight and bias unless ``None``, and of the mixes, by torch's own operators."""
    wide = torch.promote_types(x.dtype, torch.float32)
    moves = slices.moves(x.shape[2], 1, 1 / 4)
    back = [(channels, -down, -right) for channels, down, right in moves]
    n, mean, deviation = x.to(wide), None, None
    if weight is not None and bias is not None:
        norm = (list(weight.shape), weight.to(wide), bias.to(wide))
        n, mean, deviation = torch.native_layer_norm(x.to(wide), *norm, eps)
    difference = n - slices.shift(n, (h, w), moves)
    unshifted, shifted = torch.zeros_like(n), torch.zeros_like(n)
    gmixes = []
    for g, mix in zip(gy.to(wide), mixes, strict=True):
        unshifted.addcmul_(g, mix.to(wide))
        shifted.addcmul_(g, 1 - mix.to(wide))
        gmixes.append((g * difference).sum((0, 1)).to(mix.dtype))
    gn = unshifted + slices.shift(shifted, (h, w), back)
    if weight is None or bias is None:
        return [gn.to(x.dtype), *gmixes]
    gradients = torch.ops.aten.native_layer_norm_backward(
        gn, x.to(wide), norm[0], mean, deviation, norm[1], norm[2], [True, True, True]
    )
    return [g.to(p.dtype) for g, p in zip(gradients, (x, weight, bias), strict=True)] + gmixes
