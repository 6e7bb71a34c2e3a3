"""The gradient of bi-WKV on the CPU in linear time, from y and lse (equation and letters: ``reference``).

With lse = log of a token's denominator, the gradients of k and v are the same two-sided sums as the output's, of
gy and gy y with the key -lse: G over the tokens after, H over those before. Chunks and scales are those of ``cpu``.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from linbench.kernels.bi_wkv import scalar_fallback
from linbench.kernels.bi_wkv.cpu import (
    NOTHING,
    fallback_channels,
    inline,
    jit,
    join,
    local,
    plan,
    prepared,
    top_of,
)
from linbench.kernels.compiled import compiled
from linbench.kernels.half_floats import flat
from linbench.kernels.memory import on_huge_pages
from linbench.kernels.simd import (
    LANES,
    double,
    exp,
    load,
    maximum,
    prefetch,
    single,
    single_of,
    splat,
    store,
)
from linbench.kernels.threads import parallel_for

# The stored sums of a chunk: S, G, its own parts of P and H, and their scales.
S_N, S_D, G_A, G_B, P_N, P_D, H_A, H_B, OWN_K, OWN_G, SUMS = (i * LANES for i in range(11))


@njit(**inline)
def _local_gradient(lse: Any, y: Any, gy: Any, at: int, stride: int, rows: int, decay: Any) -> Any:
    """Return the sums of (gy, gy y) with the key -lse, like ``local``: G to the token before, H to the one after."""
    top = top_of(lse, at, stride, rows, single_of(-1.0))
    ga, gb, ha, hb = single_of(0.0), single_of(0.0), single_of(0.0), single_of(0.0)
    power = single_of(1.0)
    for j in range(rows):
        i = at + (rows - 1 - j) * stride
        a = exp(single_of(0.0) - load(lse, i) - top) * load(gy, i)
        b = a * load(y, i)
        ga = ga * decay + a
        gb = gb * decay + b
        ha = ha + a * power
        hb = hb + b * power
        power = power * decay
        before = i - rows * stride
        prefetch(lse, before)
        prefetch(y, before)
        prefetch(gy, before)
    return top, ga, gb, ha, hb


@njit(**inline)
def _gradients(
    k: Any, v: Any, y: Any, lse: Any, gy: Any, gk: Any, gv: Any, at: int, stride: int, rows: int, decay: Any, u: Any,
    own_k: Any, own_g: Any, tops: Any, P: Any, S: Any, G: Any, H: Any, scratch: Any,
) -> Any:  # fmt: skip
    """Write gk and gv of a chunk; return its part of -gw e^w and of gu. Every sum has a scale of its own.

    A token's e^key and e^-lse are computed once, in the scale of the chunk's largest, and converted to the others by
    factors of the chunk: a scale is never below the chunk's own. ``here`` stays within float32: a chunk's lse is at
    least its largest key less the chunk's decay.
    """
    top_p, top_s, top_g, top_h = tops
    pn, pd = P
    sn, sd = S
    ga, gb = G
    ha, hb = H
    zero = single_of(0.0)
    in_p, in_s, in_g, in_h = exp(own_k - top_p), exp(own_k - top_s), exp(own_g - top_g), exp(own_g - top_h)
    after, before, here = exp(top_p + top_g), exp(top_s + top_h), exp(own_k + own_g + u)
    for j in range(rows):
        i = rows - 1 - j
        x = at + i * stride
        e = exp(load(k, x) - own_k)
        a = exp(zero - load(lse, x) - own_g) * load(gy, x)
        store(scratch, 6 * i * LANES, sn)
        store(scratch, (6 * i + 1) * LANES, sd)
        store(scratch, (6 * i + 2) * LANES, ga)
        store(scratch, (6 * i + 3) * LANES, gb)
        store(scratch, (6 * i + 4) * LANES, e)
        store(scratch, (6 * i + 5) * LANES, a)
        e, a = e * in_s, a * in_g
        sn = sn * decay + e * load(v, x)
        sd = sd * decay + e
        ga = ga * decay + a
        gb = gb * decay + a * load(y, x)
        ahead = x + rows * stride
        prefetch(k, ahead)
        prefetch(v, ahead)
        prefetch(y, ahead)
        prefetch(lse, ahead)
        prefetch(gy, ahead)
        prefetch(gk, x)
        prefetch(gv, x)
    sum_w, sum_u = zero, zero
    for i in range(rows):
        x = at + i * stride
        value, mean = load(v, x), load(y, x)
        sn, sd = load(scratch, 6 * i * LANES), load(scratch, (6 * i + 1) * LANES)
        ga, gb = load(scratch, (6 * i + 2) * LANES) * after, load(scratch, (6 * i + 3) * LANES) * after
        e, a = load(scratch, (6 * i + 4) * LANES), load(scratch, (6 * i + 5) * LANES)
        ea, eb = ha * before, hb * before
        e_p, e_s = e * in_p, e * in_s
        current = e * a * here
        sum_w = sum_w + (pn * ga - pd * gb) + (sn * ea - sd * eb)
        sum_u = sum_u + current * (value - mean)
        store(gv, x, e_p * ga + e_s * ea + current)
        store(gk, x, e_p * (value * ga - gb) + e_s * (value * ea - eb) + current * (value - mean))
        a = a * in_h
        pn = pn * decay + e_p * value
        pd = pd * decay + e_p
        ha = ha * decay + a
        hb = hb * decay + a * mean
    return sum_w, sum_u


@njit(**inline)
def _scaled(n: Any, d: Any, scale: Any, chunk_scale: Any) -> Any:
    """Return the larger of a state's scale and a chunk's, and the state in that scale."""
    top = single(maximum(scale, double(chunk_scale)))
    factor = exp(single(scale - double(top)))
    return top, (n * factor, d * factor)


@njit(**inline)
def _gather(
    k: Any, v: Any, y: Any, lse: Any, gy: Any, at: int, stride: int, rows: int, w: Any, decay: Any, state: Any,
    scale: Any, g: int, sums: Any, scales: Any, index: int,
) -> None:  # fmt: skip
    """Store S and G, the sums over the tokens after a chunk, and the chunk's own parts; then add the chunk."""
    shift = w * splat(float(rows))
    q, s = 4 * g * LANES, index * SUMS
    n, d, z = load(state, q), load(state, q + LANES), load(scale, 2 * g * LANES)
    ga, gb, zg = load(state, q + 2 * LANES), load(state, q + 3 * LANES), load(scale, (2 * g + 1) * LANES)
    store(sums, s + S_N, n)
    store(sums, s + S_D, d)
    store(sums, s + G_A, ga)
    store(sums, s + G_B, gb)
    store(scales, 2 * index * LANES, z)
    store(scales, (2 * index + 1) * LANES, zg)
    top, sn, sd, pn, pd = local(k, v, at, stride, rows, decay)
    n, d, z = join(n, d, z, shift, sn, sd, top)
    store(sums, s + P_N, pn)
    store(sums, s + P_D, pd)
    store(sums, s + OWN_K, top)
    top, la, lb, ha, hb = _local_gradient(lse, y, gy, at, stride, rows, decay)
    ga, gb, zg = join(ga, gb, zg, shift, la, lb, top)
    store(sums, s + H_A, ha)
    store(sums, s + H_B, hb)
    store(sums, s + OWN_G, top)
    store(state, q, n)
    store(state, q + LANES, d)
    store(state, q + 2 * LANES, ga)
    store(state, q + 3 * LANES, gb)
    store(scale, 2 * g * LANES, z)
    store(scale, (2 * g + 1) * LANES, zg)


@njit(**inline)
def _spread(
    k: Any, v: Any, y: Any, lse: Any, gy: Any, gk: Any, gv: Any, at: int, stride: int, rows: int, w: Any, decay: Any,
    u: Any, state: Any, scale: Any, parts: Any, g: int, sums: Any, scales: Any, index: int, scratch: Any,
) -> None:  # fmt: skip
    """Write a chunk's gk and gv from P and H, the sums over the tokens before it, and what ``_gather`` stored."""
    shift = w * splat(float(rows))
    q, s = 4 * g * LANES, index * SUMS
    pn, pd, zp = load(state, q), load(state, q + LANES), load(scale, 2 * g * LANES)
    ha, hb, zh = load(state, q + 2 * LANES), load(state, q + 3 * LANES), load(scale, (2 * g + 1) * LANES)
    own_k, own_g = load(sums, s + OWN_K), load(sums, s + OWN_G)
    top_p, P = _scaled(pn, pd, zp, own_k)
    top_s, S = _scaled(load(sums, s + S_N), load(sums, s + S_D), load(scales, 2 * index * LANES), own_k)
    top_g, G = _scaled(load(sums, s + G_A), load(sums, s + G_B), load(scales, (2 * index + 1) * LANES), own_g)
    top_h, H = _scaled(ha, hb, zh, own_g)
    tops = (top_p, top_s, top_g, top_h)
    part_w, part_u = _gradients(
        k, v, y, lse, gy, gk, gv, at, stride, rows, decay, u, own_k, own_g, tops, P, S, G, H, scratch
    )  # fmt: skip
    store(parts, 2 * g * LANES, load(parts, 2 * g * LANES) + double(part_w))
    store(parts, (2 * g + 1) * LANES, load(parts, (2 * g + 1) * LANES) + double(part_u))
    pn, pd, zp = join(pn, pd, zp, shift, load(sums, s + P_N), load(sums, s + P_D), own_k)
    ha, hb, zh = join(ha, hb, zh, shift, load(sums, s + H_A), load(sums, s + H_B), own_g)
    store(state, q, pn)
    store(state, q + LANES, pd)
    store(state, q + 2 * LANES, ha)
    store(state, q + 3 * LANES, hb)
    store(scale, 2 * g * LANES, zp)
    store(scale, (2 * g + 1) * LANES, zh)


@compiled(**jit)
def _backward(
    w: Any, u: Any, k: Any, v: Any, y: Any, lse: Any, gy: Any, gw: Any, gu: Any, gk: Any, gv: Any, t: int, c: int,
    first: int, groups: int, blocks: int, chunk: int, start: int, stop: int,
) -> None:  # fmt: skip
    """Write gk, gv and, per image, gw and gu, ``b c``, for the pieces ``start:stop``, cut as in ``cpu``."""
    count = (t + chunk - 1) // chunk
    sums = np.empty(count * groups * SUMS, np.float32)
    scales = np.empty(count * groups * 2 * LANES, np.float64)  # of S and G
    state, scale = np.empty(groups * 4 * LANES, np.float32), np.empty(groups * 2 * LANES, np.float64)
    parts = np.empty(groups * 2 * LANES, np.float64)  # of -gw e^w and of gu
    scratch = np.empty(chunk * 6 * LANES, np.float32)
    for piece in range(start, stop):
        image, channel = piece // blocks, first + piece % blocks * groups * LANES
        origin = image * t * c + channel
        decays = np.exp(-w[channel : channel + groups * LANES])
        state[:], scale[:], parts[:] = 0, NOTHING, 0
        for j in range(count - 1, -1, -1):
            rows = min(chunk, t - j * chunk)
            for g in range(groups):
                lane, at = g * LANES, j * groups + g
                _gather(
                    k, v, y, lse, gy, origin + j * chunk * c + lane, c, rows, load(w, channel + lane),
                    single(load(decays, lane)), state, scale, g, sums, scales, at,
                )  # fmt: skip
        state[:], scale[:] = 0, NOTHING
        for j in range(count):
            rows = min(chunk, t - j * chunk)
            for g in range(groups):
                lane, at = g * LANES, j * groups + g
                _spread(
                    k, v, y, lse, gy, gk, gv, origin + j * chunk * c + lane, c, rows, load(w, channel + lane),
                    single(load(decays, lane)), single(load(u, channel + lane)), state, scale, parts, g, sums, scales,
                    at, scratch,
                )  # fmt: skip
        for g in range(groups):
            row = image * c + channel + g * LANES
            store(gw, row, splat(0.0) - load(parts, 2 * g * LANES) * load(decays, g * LANES))
            store(gu, row, load(parts, (2 * g + 1) * LANES))


def bi_wkv_backward(
    w: Tensor, u: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: Tensor, gy: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return gw, gu, ``c``, and gk, gv, ``b t c``, each of its input's dtype, from y and lse of ``bi_wkv``.

    gy: The gradient of y, ``b t c``.
    """
    kinds = [x.dtype for x in (w, u, k, v)]
    w, u, k, v = prepared(w, u, k, v)
    gy, y, lse = gy.to(v.dtype).contiguous(), y.to(v.dtype).contiguous(), lse.contiguous()
    gk, gv = on_huge_pages(torch.empty_like(k)), on_huge_pages(torch.empty_like(v))
    b, t, c = v.shape
    gw, gu = torch.zeros(b, c, dtype=torch.float64), torch.zeros(b, c, dtype=torch.float64)
    for first, groups, blocks, chunk in plan(w, u, v):
        rows = [w.numpy(), u.numpy(), *map(flat, (k, v, y, lse, gy, gw, gu, gk, gv))]
        parallel_for(partial(_backward, *rows, t, c, first, groups, blocks, chunk), b * blocks)
    # Large keys make lse large, growing weights make it grow as |w| t; its rounding is an error of every weight.
    for channels in fallback_channels(w, u, v, lse):
        inputs = [x[channels].numpy() for x in (w, u)] + [x[..., channels].double().numpy() for x in (k, v, gy)]
        sums = np.empty((b, len(channels))), np.empty((b, len(channels)))
        tokens = np.empty(inputs[2].shape), np.empty(inputs[2].shape)
        parallel_for(partial(scalar_fallback.backward, *inputs, *sums, *tokens), b * len(channels))
        for target, part in zip((gw, gu, gk, gv), (*sums, *tokens), strict=True):
            target[..., channels] = torch.from_numpy(part).to(target.dtype)
    return tuple(x.to(kind) for x, kind in zip((gw.sum(0), gu.sum(0), gk, gv), kinds, strict=True))  # type: ignore[return-value]
